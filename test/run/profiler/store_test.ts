/** src/run/profiler/store.ts: what is taken for a profile of this device, and what is not. */
import { identityOf, ownOf, VERSION } from '../../../src/run/profiler/store.js';
import { PROFILES } from '../../plan/profiles.js';

const profile = PROFILES['GPU, 4 threads'];
const identity = { browser: 'a browser', gpu: 'a GPU', threads: 4 };
const kept = { ...identity, version: VERSION, profile };

describe('a stored record', () => {
  it('is the profile of the device that it was kept for', () => {
    expect(ownOf(JSON.parse(JSON.stringify(kept)), identity)).toEqual(profile);
  });

  it('is none of another browser, GPU, number of threads, or version', () => {
    const others = [
      { browser: 'another' },
      { gpu: '' },
      { threads: 2 },
      { version: VERSION - 1 },
      { version: String(VERSION) },
    ];
    for (const other of others) {
      expect(ownOf({ ...kept, ...other }, identity))
        .withContext(JSON.stringify(other))
        .toBeUndefined();
    }
  });

  it('is none where the profile is of other threads than it says', () => {
    const other = { ...identity, threads: 2 };
    expect(ownOf({ ...kept, ...other }, other)).toBeUndefined();
  });

  it('is none where its numbers are impossible', () => {
    const broken = JSON.parse(JSON.stringify(kept)) as { profile: { cpu: { wake: unknown } } };
    for (const wake of [-1, null, 'soon']) {
      broken.profile.cpu.wake = wake;
      expect(ownOf(broken, identity)).withContext(String(wake)).toBeUndefined();
    }
  });

  it('is none where it is no record at all', () => {
    for (const other of [undefined, null, 3, 'profile', [], {}, { ...kept, profile: undefined }]) {
      expect(ownOf(other, identity)).withContext(JSON.stringify(other)).toBeUndefined();
    }
  });

  it('is asked for by the name of the browser', () => {
    expect(identityOf(undefined, 2)).toEqual(jasmine.objectContaining({ gpu: '', threads: 2 }));
  });
});
