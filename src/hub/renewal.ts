/**
 * Renewal: a planned reconnect ahead of the end of what the device proves its identity with.
 *
 * Invariants: the new credentials come first, because while they cannot be made, the old connection still serves; then
 * handlers may finish, because what they answer or complete belongs to this connection; all of it before the old token
 * expires.
 */
import { Alarm, type Clock } from "../clock.js";
import type { MqttClient } from "../client/client.js";
import { HubwireError } from "../errors.js";
import { asHubwireError } from "./access.js";
import type { Busy } from "./busy.js";
import type { CredentialSource } from "./credentials.js";

/** ms to wait before a renewal that failed is tried again. */
const RETRY = 5_000;
/** ms for new credentials. */
const PROVIDER = 30_000;
/** ms for handlers, and then for acknowledgements, before a planned reconnect. */
const DRAIN = 5_000;

/** Belongs to one identity. */
export class Renewal {
  readonly #mqtt: MqttClient;
  readonly #source: CredentialSource;
  readonly #clock: Clock;
  readonly #busy: Busy;
  readonly #report: (error: HubwireError) => void;
  readonly #alarm: Alarm;
  #over = false;

  constructor(
    mqtt: MqttClient,
    source: CredentialSource,
    clock: Clock,
    busy: Busy,
    report: (error: HubwireError) => void,
  ) {
    this.#mqtt = mqtt;
    this.#source = source;
    this.#clock = clock;
    this.#busy = busy;
    this.#report = report;
    this.#alarm = new Alarm(clock, () => void this.#renew());
  }

  /** The hub took the credentials. */
  accepted(): void {
    this.#source.accepted();
    this.#alarm.set(this.#source.renewAt);
  }

  /** The connection went: the next one has new credentials anyway. */
  lost(): void {
    this.#alarm.stop();
  }

  /** The identity is given up. */
  end(): void {
    this.#over = true;
    this.#alarm.stop();
  }

  async #renew(): Promise<void> {
    const { expiresAt } = this.#source;
    try {
      // A provider that never answers must not be the last that was asked.
      const patience = this.#source.isProvided ? PROVIDER : Infinity;
      await this.#busy.within(this.#clock, patience, this.#source.prepare(), lateProvider);
    } catch (error) {
      if (this.#over) return;
      this.#report(asHubwireError(error, "the SAS token could not be renewed"));
      if (this.#mqtt.connected) this.#alarm.set(this.#clock.now() + RETRY);
      return;
    }
    const patience = Math.min(DRAIN, Math.max(0, expiresAt - this.#clock.now()) / 3);
    await this.#busy.settled(this.#clock, patience);
    if (this.#over || !this.#mqtt.connected) return;
    // A failure is followed by attempts of the client's own, which report what they meet.
    await this.#mqtt.reconnect({ drainTimeout: patience }).catch(() => {});
  }
}

const lateProvider = (): HubwireError =>
  new HubwireError("ERR_SIGNING", `the provider of credentials has not answered within ${PROVIDER} ms`);
