/**
 * What a step has drawn, recorded when it was lowered and drawn again in the runs that follow: then
 * nobody works out shapes, names programs or packs uniforms.
 *
 *     recorded   take y, draw conv2d: X = input x, W = form of filter, B = input bias, into y
 *                     │ programs, uniforms, strips as they were
 *                     ▼
 *     frame      ┌─────────┬──────────┬───────────┐
 *                │ x, bias │ W        │ y, ...    │    textures, by number: those of this run's
 *                └─────────┴──────────┴───────────┘    inputs; packed weights; taken from the pool
 *
 * A tape is void, and recorded anew, when something it was made of is not as it was: the context,
 * the format of textures, attributes (the fuse pass makes some of numbers), whose weights were
 * packed, whether they still are, what the bytes of an input mean. A step that does more than draw
 * (tfjs-webgl's programs, an upload) has none.
 */
import type { Attributes, Named, Spec } from '../../graph/kernel.js';
import type { Argument, Call } from '../kernel.js';
import type { Draw, Form, GpuContext, Listener, Sampled, Texture } from './context.js';
import type { Image } from './layout.js';
import type { GpuBuffer, GpuProcessor } from './processor.js';

/** Recordings of which nothing came, after which a step is only lowered. */
const TRIES = 3;

type Op =
  | { readonly take: number; readonly like: Texture }
  | { readonly give: number }
  | {
      readonly draw: Draw;
      readonly to: number;
      readonly from: readonly number[];
      /** Those of `from`, in this run. */
      readonly textures: Sampled[];
    };

interface Input {
  readonly name: string;
  readonly number: number;
  /** In the run that was recorded. */
  readonly image: Image;
}

interface Result extends Omit<Input, 'name'> {
  readonly spec: Spec;
}

/** A form of an input, and whose numbers it holds. */
interface Packed {
  readonly name: string;
  readonly of: object;
  readonly form: Form;
}

/** What a step is to its tape: a node of the graph. */
interface Step {
  readonly attributes: Attributes;
  readonly inputs: Named<{ readonly value: object }>;
}

/** One step, as often as it comes. */
export class Repeat {
  private tape: Tape | undefined;
  private tries = TRIES;

  /**
   * Draws a step: from the tape where that will do.
   *
   * @param inputOf an input of this run
   * @param callOf the whole call
   */
  run(
    gpu: GpuProcessor,
    step: Step,
    inputOf: (name: string) => GpuBuffer,
    callOf: () => Call<GpuBuffer>,
    lower: (call: Call<GpuBuffer>) => GpuBuffer[],
  ): GpuBuffer[] {
    const again = this.tape?.play(gpu, step, inputOf);
    if (again) return again;
    this.tape = undefined;
    const { context } = gpu;
    const call = callOf();
    if (!context || this.tries === 0) return lower(call);
    const recorder = new Recorder(context);
    context.listener = recorder;
    try {
      const buffers = lower(recorder.hearing(call));
      this.tape = recorder.tape(step, buffers);
      return buffers;
    } finally {
      context.listener = undefined;
      this.tries = this.tape ? TRIES : this.tries - 1;
    }
  }
}

class Recorder implements Listener {
  private readonly ops: Op[] = [];
  /** Inputs that were asked for. */
  private readonly inputs = new Map<string, GpuBuffer>();
  private readonly packed: Packed[] = [];
  /** Whose textures have a number: names of inputs, forms, and what is taken at the moment. */
  private readonly numbers = new Map<string | Sampled, number>();
  private count = 0;
  private isVoid = false;

  constructor(private readonly context: GpuContext) {}

  /** The call, whose inputs tell what is asked of them. Bringing them here belongs to no step. */
  hearing(call: Call<GpuBuffer>): Call<GpuBuffer> {
    const inputs: Named<Argument<GpuBuffer>> = {};
    for (const name in call.inputs) inputs[name] = this.input(name, call.inputs[name]);
    return { ...call, inputs };
  }

  private input(name: string, argument: Argument<GpuBuffer>): Argument<GpuBuffer> {
    const { context, inputs, packed } = this;
    const { shape, dtype, of } = argument;
    return {
      shape,
      dtype,
      get buffer() {
        const buffer = inputs.get(name) ?? context.aside(() => argument.buffer);
        inputs.set(name, buffer);
        return buffer;
      },
      range: () => {
        context.listener?.didMore();
        return argument.range();
      },
      ...(argument.host && {
        host: () => {
          context.listener?.didMore();
          return argument.host!();
        },
      }),
      derived: (key, make) => {
        const form = context.aside(() => argument.derived(key, make));
        if (of) packed.push({ name, of, form });
        return form;
      },
    };
  }

  took(texture: Texture): void {
    this.numbers.set(texture, this.count);
    this.ops.push({ take: this.count++, like: texture });
  }

  gave(texture: Texture): void {
    const give = this.numbers.get(texture);
    if (give === undefined) this.didMore();
    else this.ops.push({ give });
    this.numbers.delete(texture);
  }

  drew(draw: Draw, to: Texture, textures: readonly Sampled[]): void {
    if (draw.blocks && !this.packed.some(({ form }) => form.blocks === draw.blocks)) this.didMore();
    const from = textures.map(texture => this.numberOf(texture));
    this.ops.push({ draw, to: this.numberOf(to), from, textures: [] });
  }

  didMore(): void {
    this.isVoid = true;
  }

  private numberOf(texture: Sampled): number {
    const taken = this.numbers.get(texture);
    if (taken !== undefined) return taken;
    const input = [...this.inputs].find(([, { image }]) => image?.texture === texture)?.[0];
    if (input === undefined && !this.packed.some(({ form }) => form.texture === texture)) {
      this.didMore();
    }
    const key = input ?? texture;
    const number = this.numbers.get(key) ?? this.count++;
    this.numbers.set(key, number);
    return number;
  }

  /** Undefined where the results could not be had so again. */
  tape(step: Step, buffers: readonly GpuBuffer[]): Tape | undefined {
    const { context, numbers, ops, packed, count } = this;
    const results: Result[] = [];
    for (const { image, spec } of buffers) {
      const number = image && numbers.get(image.texture);
      if (number === undefined) return undefined;
      results.push({ number, image: image!, spec });
    }
    const inputs: Input[] = [];
    const frame: Sampled[] = Array.from({ length: count });
    for (const [key, number] of numbers) {
      if (typeof key !== 'string') frame[number] = key;
      else inputs.push({ name: key, number, image: this.inputs.get(key)!.image! });
    }
    if (this.isVoid) return undefined;
    return new Tape(context, step.attributes, packed, inputs, ops, results, frame);
  }
}

class Tape {
  /** @param frame textures by their numbers; those of forms are there. */
  constructor(
    private readonly context: GpuContext,
    private readonly attributes: Attributes,
    private readonly packed: readonly Packed[],
    private readonly inputs: readonly Input[],
    private readonly ops: readonly Op[],
    private readonly results: readonly Result[],
    private readonly frame: Sampled[],
  ) {}

  /** @returns the results; undefined where this is not the step that was recorded. */
  play(
    gpu: GpuProcessor,
    step: Step,
    inputOf: (name: string) => GpuBuffer,
  ): GpuBuffer[] | undefined {
    const { context, frame } = this;
    if (gpu.context !== context || !this.isOf(step)) return undefined;
    for (const { name, number, image } of this.inputs) {
      const now = gpu.image(inputOf(name));
      if (!now || !areAlike(now, image)) return undefined;
      frame[number] = now.texture;
    }
    for (const op of this.ops) {
      if ('draw' in op) {
        op.from.forEach((number, i) => (op.textures[i] = frame[number]));
        context.repeat(op.draw, frame[op.to] as Texture, op.textures);
      } else if ('take' in op) {
        const { format, width, height, layers } = op.like;
        frame[op.take] = context.take(format, width, height, layers);
      } else context.give(frame[op.give] as Texture);
    }
    return this.results.map(({ number, image: { layout, quantisation }, spec }) =>
      gpu.keep(
        { texture: frame[number] as Texture, layout, ...(quantisation && { quantisation }) },
        spec,
      ),
    );
  }

  private isOf({ inputs, attributes }: Step): boolean {
    for (const { name, of, form } of this.packed) {
      if (inputs[name].value !== of || !this.context.holds(form)) return false;
    }
    // What is no number or name is part of what plans are kept by.
    let count = 0;
    for (const name in attributes) {
      count++;
      const value = attributes[name];
      if (typeof value !== 'object' && !Object.is(value, this.attributes[name])) return false;
    }
    return count === Object.keys(this.attributes).length;
  }
}

const areAlike = (a: Image, b: Image): boolean =>
  a.texture.format === b.texture.format &&
  a.quantisation?.scale === b.quantisation?.scale &&
  a.quantisation?.zero === b.quantisation?.zero;
