/**
 * Profiles that are kept from one visit to the next, in IndexedDB under what they are of: browser, GPU,
 * threads. What comes back is taken for what anybody may have written there: a record that is of another
 * device, of another version of this file, or holds numbers that no device has is none, and goes. Nor
 * does it matter where there is no IndexedDB, or no room: then it is measured again.
 */
import { ProfileError } from '../../errors.js';
import type { Profile } from '../../plan/profile.js';
import { profileOf } from '../../plan/profile.js';

/** What a profile is of. */
export interface Identity {
  readonly browser: string;
  /** The renderer's name; empty where there is none. */
  readonly gpu: string;
  readonly threads: number;
}

interface Kept extends Identity {
  readonly version: number;
  readonly profile: unknown;
}

/** Of the profile's form and of what its numbers mean: another one, and all are measured anew. */
export const VERSION = 1;

const DATABASE = 'mulayer';
const STORE = 'profiles';

/** What this page runs in. */
export function identityOf(gpu: string | undefined, threads: number): Identity {
  const { userAgent = '' } = (globalThis.navigator ?? {}) as Partial<Navigator>;
  return { browser: userAgent, gpu: gpu ?? '', threads };
}

/** A profile of this very device; undefined where none is kept that could be one. */
export async function keptProfile(identity: Identity): Promise<Profile | undefined> {
  try {
    const kept = await within<unknown>('readonly', store => store.get(keyOf(identity)));
    if (kept === undefined) return undefined;
    const profile = ownOf(kept, identity);
    if (!profile) await within('readwrite', store => store.delete(keyOf(identity)));
    return profile;
  } catch {
    return undefined;
  }
}

/** @returns whether there was a place for it. */
export async function keepProfile(identity: Identity, profile: Profile): Promise<boolean> {
  const kept: Kept = { ...identity, version: VERSION, profile };
  try {
    await within('readwrite', store => store.put(kept, keyOf(identity)));
    return true;
  } catch {
    return false;
  }
}

/** For a profile that no longer predicts. */
export async function dropProfile(identity: Identity): Promise<void> {
  try {
    await within('readwrite', store => store.delete(keyOf(identity)));
  } catch {
    // Where nothing can be kept there is nothing to drop.
  }
}

/** The profile of a record, if it is of this device, in this form, and possible. */
export function ownOf(kept: unknown, { browser, gpu, threads }: Identity): Profile | undefined {
  if (typeof kept !== 'object' || kept === null) return undefined;
  const record = kept as Partial<Kept>;
  const isOwn =
    record.version === VERSION &&
    record.browser === browser &&
    record.gpu === gpu &&
    record.threads === threads;
  if (!isOwn) return undefined;
  try {
    const profile = profileOf(record.profile);
    return profile.cpu.threads === threads ? profile : undefined;
  } catch (error) {
    if (error instanceof ProfileError) return undefined;
    throw error;
  }
}

const keyOf = (identity: Identity): string =>
  [identity.browser, identity.gpu, identity.threads].join('\n');

async function within<T>(
  mode: IDBTransactionMode,
  ask: (store: IDBObjectStore) => IDBRequest<T>,
): Promise<T> {
  const database = await open();
  try {
    return await answerOf(ask(database.transaction(STORE, mode).objectStore(STORE)));
  } finally {
    database.close();
  }
}

function open(): Promise<IDBDatabase> {
  const request = indexedDB.open(DATABASE, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(STORE);
  return answerOf(request);
}

function answerOf<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error('IndexedDB: no answer'));
  });
}
