/**
 * What whoever started the specs asks of them: karma's client arguments, which the Node runner
 * (`scripts/test-node.mjs`) gives in the same place. The one argument of ours is JSON.
 */
interface Options {
  /** The tfjs backend under test: `mulayer`, or another to see what tfjs itself does. */
  readonly backend: string;
  /** tfjs flags, set before the backend is created. */
  readonly flags: Readonly<Record<string, string | number | boolean>>;
}

declare const __karma__: { config: { args: string[] } };

export const options: Options = {
  backend: 'mulayer',
  flags: {},
  ...(JSON.parse(__karma__.config.args.find(arg => arg.startsWith('{')) ?? '{}') as object),
};
