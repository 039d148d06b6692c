/** Programs for a DeviceClient: as those for an MqttClient, with the hub's own words. */
import type { QoS } from "../../../src/codec/types.js";
import type { Handler, ProgramOptions, WorldOp } from "../program.js";

export interface MethodStyle {
  /** `wait` answers after `ms`, `bad` returns what is no response. */
  style: "return" | "wait" | "never" | "fail" | "bad";
  ms: number;
}

export type DeviceOp =
  | { do: "connect"; timeout?: number; signal?: number }
  | { do: "telemetry"; qos: QoS; size: number; times: number; signal?: number }
  | { do: "messages"; handler: Handler }
  /** Reads up to `take` messages with a pause of `ms` after each, and leaves. */
  | { do: "iterate"; take: number; ms: number }
  | { do: "method"; name: string; handler: MethodStyle }
  | { do: "twin"; signal?: number }
  | { do: "report"; signal?: number }
  | { do: "desired"; style: "return" | "wait" | "fail"; ms: number }
  | { do: "abort"; signal: number }
  | { do: "close"; force: boolean };

export type HubOp =
  /** The service changes the desired properties so many times. */
  | { do: "patch"; times: number }
  /** What the hub does to its next notifications of such changes. */
  | { do: "notify"; how: "lose" | "repeat" | "delay" | "malformed"; times: number; ms: number }
  /** The device is made anew: its versions begin at 1. */
  | { do: "recreate" }
  /** The service calls a method; `copies` of the same call arrive. */
  | { do: "call"; name: string; copies: number; isJson: boolean }
  | { do: "message"; times: number; size: number }
  /** What the hub does to its next answers about the twin. */
  | {
      do: "twin answer";
      how: "lose" | "repeat" | "delay" | "status" | "malformed" | "foreign";
      times: number;
      ms: number;
    }
  /** What makes the tokens fails so many times. */
  | { do: "sas"; times: number };

/** Those of the network and of MQTT that a hub knows, too. */
export type HubWorldOp = Extract<
  WorldOp,
  {
    do:
      | "cut"
      | "cut after"
      | "stall"
      | "line"
      | "dial"
      | "down"
      | "answer"
      | "close on"
      | "connack"
      | "refuse"
      | "forget";
  }
>;

export type AnyOp = DeviceOp | HubOp | HubWorldOp;

export interface DeviceProgramOptions extends ProgramOptions {
  tokenLifetime: number;
  proof: "key" | "provider";
  /** ms from one end to the other in the beginning. */
  latency: number;
}

export interface DeviceProgram {
  seed: number;
  options: DeviceProgramOptions;
  steps: { after: number; op: AnyOp }[];
}
