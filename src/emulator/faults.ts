/**
 * What the hub does wrong on purpose, so that a device's answer to it can be tested. Set the fields at any
 * time.
 *
 * Invariant: as made, nothing is wrong.
 */
export class Faults {
  /** Answer every CONNECT with this return code, or close without an answer; 0 is none. */
  connack: number | "close" = 0;
  /** false: PINGREQ gets no answer. */
  pingresp = true;
  /** Answer every twin request with this status (429, 500, …) and do nothing; "silent": never answer. */
  twin: number | "silent" | undefined;
  /** false: take method responses off the wire and forget them. */
  methodResponses = true;
  /** Answer every request to the provisioning service with this status. */
  provisioning: number | undefined;
  readonly #onRelease: () => void;
  #puback: "send" | "hold" | "drop" = "send";

  constructor(onRelease: () => void) {
    this.#onRelease = onRelease;
  }

  /**
   * PUBACKs of telemetry: sent, held back until this is "send" again, or dropped. The message is delivered in
   * every case; what is held when the connection ends is lost.
   */
  get puback(): "send" | "hold" | "drop" {
    return this.#puback;
  }

  set puback(value: "send" | "hold" | "drop") {
    this.#puback = value;
    if (value === "send") this.#onRelease();
  }
}
