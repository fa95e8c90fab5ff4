/** src/plan/profile.ts: impossible numbers are errors that name the field. */
import { ProfileError } from '../../src/errors.js';
import { profileOf } from '../../src/plan/profile.js';
import { PROFILES } from './profiles.js';

/** A profile as JSON with another thing at a path. */
function changed(path: string, to: unknown): unknown {
  const json = JSON.parse(JSON.stringify(PROFILES['GPU, 4 threads'])) as Record<string, unknown>;
  const names = path.split('.');
  const last = names.pop()!;
  const place = names.reduce((at, name) => at[name] as Record<string, unknown>, json);
  if (to === undefined) Reflect.deleteProperty(place, last);
  else place[last] = to;
  return json;
}

describe('profileOf', () => {
  for (const profile of Object.values(PROFILES)) {
    it(`takes ${profile.name}, from JSON and back`, () => {
      const json: unknown = JSON.parse(JSON.stringify(profile));
      expect(profileOf(json)).toEqual(profile);
    });
  }

  const cases: [path: string, to: unknown, message: string][] = [
    ['name', 3, 'name: expected a string, got 3'],
    ['cpu', undefined, 'cpu: expected an object, got undefined'],
    ['gpu', null, 'gpu: expected an object, got null'],
    ['cpu.threads', 0, 'cpu.threads: expected a whole number from 1, got 0'],
    [
      'cpu.threads',
      8,
      'cpu.units.product.float32.perUnit.8: expected a number above 0, got undefined',
    ],
    ['cpu.wake', -1, 'cpu.wake: expected a number from 0, got -1'],
    ['cpu.slowDown', 0.9, 'cpu.slowDown: expected a number from 1, got 0.9'],
    ['cpu.units.pool', undefined, 'cpu.units.pool: expected an object, got undefined'],
    [
      'cpu.units.product.int8.call',
      NaN,
      'cpu.units.product.int8.call: expected a number from 0, got NaN',
    ],
    [
      'cpu.units.product.float32',
      undefined,
      'cpu.units.product.float32: expected an object, got undefined',
    ],
    [
      'cpu.units.product.float32.perCopy',
      -1,
      'cpu.units.product.float32.perCopy: expected a number from 0, got -1',
    ],
    ['gpu.lanes', 1.5, 'gpu.lanes: expected a whole number from 1, got 1.5'],
    [
      'gpu.units.move.f16.perUnit',
      0,
      'gpu.units.move.f16.perUnit: expected a number above 0, got 0',
    ],
    ['gpu.readBack.bytes.b', '1', "gpu.readBack.bytes.b: expected a number from 0, got '1'"],
    ['gpu.upload.f16', undefined, 'gpu.upload.f16: expected an object, got undefined'],
    ['gpu.slowDown', Infinity, 'gpu.slowDown: expected a number from 1, got Infinity'],
  ];
  for (const [path, to, message] of cases) {
    it(`${path} of ${String(to)} is an error that says so`, () => {
      expect(() => profileOf(changed(path, to))).toThrowError(ProfileError, message);
    });
  }

  it('nothing at all is an error', () => {
    for (const json of [undefined, null, 3])
      expect(() => profileOf(json)).toThrowError(ProfileError);
  });
});
