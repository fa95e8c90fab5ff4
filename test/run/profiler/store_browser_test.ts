/** src/run/profiler/store.ts: IndexedDB. */
import {
  dropProfile,
  identityOf,
  keepProfile,
  keptProfile,
  VERSION,
} from '../../../src/run/profiler/store.js';
import { PROFILES } from '../../plan/profiles.js';

const profile = PROFILES['GPU, 4 threads'];
const identity = identityOf('the GPU of this spec', 4);
const key = [identity.browser, identity.gpu, identity.threads].join('\n');

/** Puts something into the store as anybody may. */
async function put(record: unknown): Promise<void> {
  const database = await new Promise<IDBDatabase>((resolve, reject) => {
    const request = indexedDB.open('mulayer', 1);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error!);
  });
  await new Promise<void>(resolve => {
    const transaction = database.transaction('profiles', 'readwrite');
    transaction.objectStore('profiles').put(record, key);
    transaction.oncomplete = () => resolve();
  });
  database.close();
}

describe('the store of profiles', () => {
  afterEach(() => dropProfile(identity));

  it('keeps a profile, and has none before and after', async () => {
    expect(await keptProfile(identity)).toBeUndefined();
    expect(await keepProfile(identity, profile)).toBeTrue();
    expect(await keptProfile(identity)).toEqual(profile);
    await dropProfile(identity);
    expect(await keptProfile(identity)).toBeUndefined();
  });

  it('keeps one for each number of threads', async () => {
    await keepProfile(identity, profile);
    expect(await keptProfile({ ...identity, threads: 2 })).toBeUndefined();
    expect(await keptProfile(identity)).toEqual(profile);
  });

  it('passes over what is none, and forgets it', async () => {
    await keepProfile(identity, profile);
    for (const record of ['nonsense', { ...identity, version: VERSION, profile: { name: 3 } }]) {
      await put(record);
      expect(await keptProfile(identity)).toBeUndefined();
    }
    expect(await keepProfile(identity, profile)).toBeTrue();
    expect(await keptProfile(identity)).toEqual(profile);
  });

  it('has none where IndexedDB is refused, and says so', async () => {
    spyOn(indexedDB, 'open').and.throwError(new DOMException('refused', 'SecurityError'));
    expect(await keepProfile(identity, profile)).toBeFalse();
    expect(await keptProfile(identity)).toBeUndefined();
    await dropProfile(identity);
  });
});
