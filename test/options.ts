/**
 * What whoever started the specs asks of them: karma's client arguments, which the Node runner
 * (`scripts/test-node.mjs`) gives in the same place. The one argument of ours is JSON.
 */
interface Options {
  /** The tfjs backend under test: `mulayer`, or another to see what tfjs itself does. */
  readonly backend: string;
  /** tfjs flags, set before the backend is created. */
  readonly flags: Readonly<Record<string, string | number | boolean>>;
  /** Random problems for each wasm kernel on each of its paths. */
  readonly problems: number;
}

declare const __karma__: { config: { args: string[] } };

export const options: Options = {
  backend: 'mulayer',
  flags: {},
  problems: 200,
  ...(JSON.parse(__karma__.config.args.find(arg => arg.startsWith('{')) ?? '{}') as object),
};
