/**
 * What the GPU takes for what is submitted, by its own clock: EXT_disjoint_timer_query_webgl2, which
 * Chromium has, Firefox and WebKit have not. A query costs some microseconds of this thread, so only
 * a run that is tried asks for them (`plan/trial.ts`). Answers come after a turn of the page at the
 * earliest.
 *
 *     time(node, submit) ... time(node, submit)      a turn      take() -> milliseconds of each
 */
interface Extension {
  readonly TIME_ELAPSED_EXT: number;
  /** The clock has jumped since this was asked last: the times are none. */
  readonly GPU_DISJOINT_EXT: number;
}

const NANOSECONDS = 1e-6;

export class Timers<Key> {
  private readonly asked: { key: Key; query: WebGLQuery }[] = [];
  private isOn = false;

  private constructor(
    private readonly gl: WebGL2RenderingContext,
    private readonly extension: Extension,
  ) {}

  /** Undefined where there is no such clock. */
  static create<Key>(gl: WebGL2RenderingContext): Timers<Key> | undefined {
    const extension = gl.getExtension('EXT_disjoint_timer_query_webgl2') as Extension | null;
    return extension ? new Timers<Key>(gl, extension) : undefined;
  }

  /** From now on times are taken, and those that were not taken away are forgotten. */
  start(): void {
    this.forget();
    this.isOn = true;
  }

  /** Runs `submit`, whose commands count for the key. */
  time<T>(key: Key, submit: () => T): T {
    const { gl, extension } = this;
    const query = this.isOn ? gl.createQuery() : null;
    if (!query) return submit();
    gl.beginQuery(extension.TIME_ELAPSED_EXT, query);
    try {
      return submit();
    } finally {
      gl.endQuery(extension.TIME_ELAPSED_EXT);
      this.asked.push({ key, query });
    }
  }

  stop(): void {
    this.isOn = false;
  }

  /** Milliseconds by key, once; undefined as long as some are not there, or where they are none. */
  take(): Map<Key, number> | undefined {
    const { gl, extension, asked } = this;
    const isThere = asked.every(({ query }) =>
      Boolean(gl.getQueryParameter(query, gl.QUERY_RESULT_AVAILABLE)),
    );
    if (asked.length === 0 || this.isOn || !isThere) return undefined;
    const times = new Map<Key, number>();
    for (const { key, query } of asked) {
      const ms = Number(gl.getQueryParameter(query, gl.QUERY_RESULT)) * NANOSECONDS;
      times.set(key, (times.get(key) ?? 0) + ms);
    }
    const isDisjoint = Boolean(gl.getParameter(extension.GPU_DISJOINT_EXT));
    this.forget();
    return isDisjoint ? undefined : times;
  }

  private forget(): void {
    for (const { query } of this.asked) this.gl.deleteQuery(query);
    this.asked.length = 0;
  }
}
