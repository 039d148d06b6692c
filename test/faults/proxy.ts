/**
 * A TCP proxy between a client and a broker that does one planned wrong to each connection.
 *
 * Invariants: in the direction of the fault exactly `offset` bytes pass before it; what bytes these are does
 * not depend on how they were split into chunks, nor on time. With `tls` the proxy ends the client's TLS
 * itself, so that it counts and cuts application bytes; without it the bytes are passed on as they are. After
 * the plan's end, and after `heal`, connections pass untouched.
 */
import { createServer, connect, type AddressInfo, type Server, type Socket } from "node:net";
import { createSecureContext, TLSSocket, type SecureContext, type SecureContextOptions } from "node:tls";

/** `up` is from the client to the broker. */
export type Direction = "up" | "down";

/**
 * - `fin`: both sides are closed in good order (with TLS: close_notify).
 * - `truncate`: both sides are closed without TLS's own goodbye.
 * - `reset`: both sides get RST.
 * - `stall`: everything stays open and nothing passes any more, not even an end.
 * - `half-close`: the receiver of that direction sees its end; the other direction goes on.
 * - `delay`: that direction waits, then goes on from the very byte.
 */
export type FaultKind = "fin" | "truncate" | "reset" | "stall" | "half-close" | "delay";
export const faultKinds: readonly FaultKind[] = ["fin", "truncate", "reset", "stall", "half-close", "delay"];

export interface Fault {
  kind: FaultKind;
  direction: Direction;
  /** Bytes of that connection and direction that pass before. */
  offset: number;
}

export interface ProxyOptions {
  /** The broker's port on the loopback interface. */
  target: number;
  /** One fault a connection. A connection that ends before its fault leaves it to the next. */
  plan: readonly Fault[];
  /** Ends the client's TLS here with this certificate; the broker gets cleartext. */
  tls?: SecureContextOptions;
  /** How long `delay` holds, ms. Default 30. */
  delay?: number;
}

/** One side of a proxied connection. `raw` is the TCP socket below `stream`, or the same. */
interface Side {
  raw: Socket;
  stream: Socket;
  /** Bytes that were passed on to the other side. */
  passed: number;
  /** Nothing of what this side sends is passed on any more. */
  deaf: boolean;
  /** What this side sent while it is held up; undefined while it is not. */
  held: Buffer[] | undefined;
  ended: boolean;
}

function side(raw: Socket, stream: Socket): Side {
  raw.on("error", () => {});
  return { raw, stream, passed: 0, deaf: false, held: undefined, ended: false };
}

/** TLS by hand instead of by a TLS server: the raw socket stays within reach, to be reset or torn. */
function endTls(raw: Socket, secureContext: SecureContext): TLSSocket {
  const options = { isServer: true, secureContext, allowHalfOpen: true };
  return new TLSSocket(raw, options);
}

class Link {
  readonly #client: Side;
  readonly #broker: Side;
  readonly #delay: number;
  readonly #mayFire: () => boolean;
  #fault: Fault | undefined;
  #stalled = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    raw: Socket,
    context: SecureContext | undefined,
    { target, delay = 30 }: ProxyOptions,
    fault: Fault | undefined,
    mayFire: () => boolean,
  ) {
    const stream = context ? endTls(raw, context) : raw;
    const upstream = connect({ port: target, host: "127.0.0.1", allowHalfOpen: true });
    raw.setNoDelay(true);
    upstream.setNoDelay(true);
    this.#client = side(raw, stream);
    this.#broker = side(upstream, upstream);
    this.#fault = fault;
    this.#mayFire = mayFire;
    this.#delay = delay;
    this.#listen(this.#client, this.#broker, "up");
    this.#listen(this.#broker, this.#client, "down");
    if (fault?.offset !== 0) return;
    // Before the first byte there must be a connection to break.
    if (context) stream.once("secure", () => this.#fire());
    else this.#fire();
  }

  destroy(): void {
    clearTimeout(this.#timer);
    this.#client.raw.destroy();
    this.#broker.raw.destroy();
  }

  #listen(from: Side, to: Side, direction: Direction): void {
    const { stream } = from;
    stream.on("data", (chunk: Buffer) => this.#take(from, to, direction, chunk));
    stream.on("drain", () => to.stream.resume());
    stream.on("end", () => this.#end(from, to));
    stream.on("error", () => this.#gone(to));
    stream.on("close", () => this.#gone(to));
  }

  #take(from: Side, to: Side, direction: Direction, chunk: Buffer): void {
    if (from.held) {
      from.held.push(chunk);
      return;
    }
    if (from.deaf || this.#stalled) return;
    const fault = this.#fault;
    const room = fault?.direction === direction ? fault.offset - from.passed : Infinity;
    const now = chunk.subarray(0, Math.min(room, chunk.length));
    from.passed += now.length;
    if (now.length > 0 && !to.stream.write(now)) from.stream.pause();
    if (chunk.length < room) return;
    this.#fire();
    if (chunk.length > room) this.#take(from, to, direction, chunk.subarray(room));
  }

  #end(from: Side, to: Side): void {
    from.ended = true;
    if (!from.held && !from.deaf && !this.#stalled) to.stream.end();
  }

  /** One side is gone without an end; a stalled link hides even that. */
  #gone(other: Side): void {
    if (!this.#stalled && !other.held) other.stream.destroySoon();
  }

  #fire(): void {
    const fault = this.#fault;
    this.#fault = undefined;
    if (!fault || !this.#mayFire()) return;
    const [from, to] = fault.direction === "up" ? [this.#client, this.#broker] : [this.#broker, this.#client];
    switch (fault.kind) {
      case "fin":
        from.deaf = to.deaf = true;
        from.stream.end();
        to.stream.end();
        break;
      case "truncate":
        from.deaf = to.deaf = true;
        tear(from, (raw) => raw.destroy());
        tear(to, (raw) => raw.destroy());
        break;
      case "reset":
        from.deaf = to.deaf = true;
        tear(from, (raw) => raw.resetAndDestroy());
        tear(to, (raw) => raw.resetAndDestroy());
        break;
      case "stall":
        this.#stalled = true;
        break;
      case "half-close":
        from.deaf = true;
        to.stream.end();
        break;
      case "delay":
        from.held = [];
        this.#timer = setTimeout(() => this.#goOn(from, to, fault.direction), this.#delay);
        break;
    }
  }

  #goOn(from: Side, to: Side, direction: Direction): void {
    const held = from.held ?? [];
    from.held = undefined;
    for (const chunk of held) this.#take(from, to, direction, chunk);
    if (from.ended) this.#end(from, to);
    else if (from.stream.destroyed) this.#gone(to);
  }
}

/** Once what was written before has left, so that the receiver had the chance to see all of it. */
function tear({ raw, stream }: Side, how: (raw: Socket) => void): void {
  if (stream.writableLength === 0 && raw.writableLength === 0) how(raw);
  else stream.write("", () => how(raw));
}

export class FaultProxy {
  /** Resolves when the plan's first fault has happened. */
  readonly fired: Promise<void>;
  readonly #server: Server;
  readonly #links: Link[] = [];
  #plan: readonly Fault[];

  private constructor(options: ProxyOptions) {
    const context = options.tls && createSecureContext(options.tls);
    let onFired: () => void;
    this.fired = new Promise((resolve) => (onFired = resolve));
    this.#plan = options.plan;
    this.#server = createServer({ allowHalfOpen: true }, (raw) => {
      const [fault] = this.#plan;
      const mayFire = (): boolean => {
        if (this.#plan[0] !== fault) return false;
        this.#plan = this.#plan.slice(1);
        onFired();
        return true;
      };
      this.#links.push(new Link(raw, context, options, fault, mayFire));
    });
  }

  static async listen(options: ProxyOptions): Promise<FaultProxy> {
    const proxy = new FaultProxy(options);
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once("error", reject);
      proxy.#server.listen(0, "127.0.0.1", resolve);
    });
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** No fault from now on; what is stalled stays so. */
  heal(): void {
    this.#plan = [];
  }

  /** Stops listening and drops every connection. */
  async close(): Promise<void> {
    for (const link of this.#links) link.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
