/**
 * What the hub does wrong on purpose, so that a device's answer to it can be tested: for all devices (`hub.faults`), or
 * for one (`hub.faultsOf`). Set the fields at any time; each counts from then on.
 *
 * Invariants: as made, nothing is wrong. A field that a device's own faults leave undefined is that of the hub's. With one
 * seed and one order of occasions the same occasions are struck.
 */
import { readOptions } from "../check.js";
import { HubwireError } from "../errors.js";
import { seededRandom } from "./random.js";

/** The faults; without a value nothing is wrong. */
export interface FaultSettings {
  /** Answer every CONNECT with this return code, or close without an answer; 0 is none. */
  connack: number | "close";
  /** Break a connection once it sent so many packets, CONNECT the first: the last one counts, its answer is lost. 0 is never. */
  closeAfter: number;
  /** Stop reading, until this is false again: what the device sends stays in the network. */
  stall: boolean;
  /** Keep back what the hub sends: ms, or [least, most] for a time of the seed's choice each. The order stays. */
  delay: number | readonly [least: number, most: number];
  /** Turn over one bit, of the seed's choice, of what the hub writes. */
  corrupt: boolean;
  /** Take nothing and send nothing, and leave the connection open, as a cable that was pulled. */
  halfOpen: boolean;
  /** false: PINGREQ gets no answer. */
  pingresp: boolean;
  /** Answer every twin request with this status (429, 500, …) and do nothing; "silent": never answer. */
  twin: number | "silent" | undefined;
  /** false: take method responses off the wire and forget them. */
  methodResponses: boolean;
  /** Answer every request to the provisioning service with this status. */
  provisioning: number | undefined;
  /**
   * PUBACKs of telemetry: sent, held back until this is "send" again, or dropped. The message is delivered in
   * every case; what is held when the connection ends is lost.
   */
  puback: "send" | "hold" | "drop";
  /** How far the hub's clock is ahead where it looks at tokens and certificates, ms; may be negative. */
  clockOffset: number;
  /** The share of occasions on which a fault strikes, 0 to 1. Default: 1, always. */
  rate: number;
  /** Of the choice of occasions, bits and delays. */
  seed: number;
}

const NONE: Readonly<FaultSettings> = {
  connack: 0,
  closeAfter: 0,
  stall: false,
  delay: 0,
  corrupt: false,
  halfOpen: false,
  pingresp: true,
  twin: undefined,
  methodResponses: true,
  provisioning: undefined,
  puback: "send",
  clockOffset: 0,
  rate: 1,
  seed: 1,
};

const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
const isStatus = (value: unknown): boolean => Number.isInteger(value) && Number(value) >= 100 && Number(value) <= 999;
const isBoolean = (value: unknown): boolean => typeof value === "boolean";
const isDelay = (value: unknown): boolean => typeof value === "number" && value >= 0 && value < Infinity;

/** What each fault may be, and how to say it. */
const RULES: Readonly<Record<keyof FaultSettings, readonly [fits: (value: unknown) => boolean, rule: string]>> = {
  connack: [(value) => value === "close" || (isCount(value) && Number(value) <= 255), 'a return code, or "close"'],
  closeAfter: [isCount, "a number of packets"],
  stall: [isBoolean, "true or false"],
  delay: [
    (value) =>
      isDelay(value) || (Array.isArray(value) && value.length === 2 && value.every(isDelay) && value[0] <= value[1]),
    "milliseconds, or [least, most] of them",
  ],
  corrupt: [isBoolean, "true or false"],
  halfOpen: [isBoolean, "true or false"],
  pingresp: [isBoolean, "true or false"],
  twin: [(value) => value === "silent" || isStatus(value), 'a status from 100 to 999, or "silent"'],
  methodResponses: [isBoolean, "true or false"],
  provisioning: [isStatus, "a status from 100 to 999"],
  puback: [(value) => ["send", "hold", "drop"].includes(value as string), '"send", "hold" or "drop"'],
  clockOffset: [(value) => Number.isFinite(value), "milliseconds"],
  rate: [(value) => typeof value === "number" && value >= 0 && value <= 1, "a number from 0 to 1"],
  seed: [isCount, "a whole number"],
};

/** The fields are those of `FaultSettings`; reading one gives what holds, the hub's own where a device has none. */
export interface Faults extends FaultSettings {}

// The fields are accessors over one table of settings, made below: a setting has a rule and must tell the connections.
export class Faults {
  readonly #onChange: () => void;
  readonly #parent: Faults | undefined;
  readonly #own: Partial<FaultSettings> = {};
  #random: (() => number) | undefined;

  /** `onChange` is called after each change; `parent` holds what is not set here. */
  constructor(onChange: () => void, parent?: Faults) {
    this.#onChange = onChange;
    this.#parent = parent;
  }

  /** Sets several at once; undefined takes a setting away. Throws ERR_INVALID_ARGUMENT for an unknown name or a wrong value. */
  set(settings: Partial<FaultSettings>): void {
    const own = readOptions(settings, "faults.set");
    for (const [name, value] of Object.entries(own)) check(name, value);
    for (const [name, value] of Object.entries(own)) this.#put(name as keyof FaultSettings, value as never);
    this.#onChange();
  }

  /** Takes every setting away. */
  clear(): void {
    for (const name of Object.keys(this.#own)) delete this.#own[name as keyof FaultSettings];
    this.#random = undefined;
    this.#onChange();
  }

  /** The settings that are made here. */
  settings(): Partial<FaultSettings> {
    return { ...this.#own };
  }

  /** What holds. */
  get<K extends keyof FaultSettings>(name: K): FaultSettings[K] {
    const own = this.#own[name];
    if (own !== undefined) return own;
    return this.#parent === undefined ? NONE[name] : this.#parent.get(name);
  }

  /** What holds on this occasion: the setting, or none where `rate` spares it. */
  strike<K extends keyof FaultSettings>(name: K): FaultSettings[K] {
    const value = this.get(name);
    if (value === NONE[name]) return value;
    const rate = this.get("rate");
    return rate >= 1 || this.random() < rate ? value : NONE[name];
  }

  /** 0 <= value < 1, of the seed that holds. */
  random(): number {
    if (this.#parent !== undefined && this.#own.seed === undefined) return this.#parent.random();
    this.#random ??= seededRandom(this.get("seed"));
    return this.#random();
  }

  #put<K extends keyof FaultSettings>(name: K, value: FaultSettings[K] | undefined): void {
    if (value === undefined) delete this.#own[name];
    else this.#own[name] = value;
    if (name === "seed") this.#random = undefined;
  }

  static {
    for (const name of Object.keys(NONE) as (keyof FaultSettings)[]) {
      Object.defineProperty(this.prototype, name, {
        get(this: Faults) {
          return this.get(name);
        },
        set(this: Faults, value: unknown) {
          this.set({ [name]: value });
        },
      });
    }
  }
}

function check(name: string, value: unknown): void {
  const found = Object.hasOwn(RULES, name) ? RULES[name as keyof FaultSettings] : undefined;
  if (found === undefined) {
    throw new HubwireError(
      "ERR_INVALID_ARGUMENT",
      `there is no fault ${name}; there are: ${Object.keys(RULES).join(", ")}`,
    );
  }
  const [fits, rule] = found;
  if (value === undefined || fits(value)) return;
  throw new HubwireError("ERR_INVALID_ARGUMENT", `the fault ${name} must be ${rule}`);
}
