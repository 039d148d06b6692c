/**
 * Messages on their way to the server.
 *
 * Invariants:
 * - A publication is in one list: `#queue` (not sent in this session), `#sent` (in order of sending, waits for PUBACK or
 *   PUBREC), `#again` (the same, but not yet sent on this connection; empty while there is none),
 *   `#released` (in order of PUBREC, waits for PUBCOMP) or `#held` (the one under suspicion, see `Suspect`).
 * - Messages leave in the order of `publish`: while anything waits in `#again` or `#queue`, QoS 0 waits behind it.
 * - A packet identifier is held from the first sending to the final acknowledgement, also when the user has given up.
 * - What waits is counted as the memory that it takes; what an earlier process left comes first in every list.
 */
import { checkPublish } from "../codec/index.js";
import type { HubwireError } from "../errors.js";
import { eachMillisecond, Expiry, firstSentAt, notConnected, queueFull } from "./expiry.js";
import { awaitedOf, PUBACK, PUBCOMP, PUBREC, Publication, QUEUED, Restored, settledNow } from "./exchange.js";
import type { Exchange } from "./exchange.js";
import type { SessionStore } from "./journal.js";
import { append, forAll, insert, type Link, members, newList, unlink, walk, walkAll } from "./list.js";
import type { SessionParts } from "./parts.js";
import { refused, sessionLost } from "./refusals.js";
import { Suspect } from "./suspect.js";
import { Window } from "./window.js";

export class Outbound {
  /** Messages in flight for which somebody waits. */
  awaited = 0;
  /** Between CONNACK and the end of the connection. */
  isOpen = false;
  /** Whether the transport takes more. */
  isWritable = true;
  /** No new PUBLISH leaves: a planned reconnect waits for acknowledgements. */
  isHolding = false;
  /** More may go once the output has been taken. */
  hasMore = false;
  readonly suspect = new Suspect();
  readonly #parts: SessionParts;
  readonly #queue = newList();
  readonly #again = newList();
  readonly #sent = newList();
  readonly #released = newList();
  readonly #held = newList();
  readonly #full = eachMillisecond(queueFull);
  readonly #offline = eachMillisecond(notConnected);
  readonly #window: Window;
  #journal: SessionStore | undefined;

  constructor(parts: SessionParts) {
    this.#parts = parts;
    this.#window = new Window(parts.metrics, parts.options);
  }

  get isQueueEmpty(): boolean {
    return this.#queue.next === this.#queue;
  }

  /** When the oldest unacknowledged message of this connection was sent, ms; Infinity without one. */
  get oldestSentAt(): number {
    return Math.min(firstSentAt(this.#sent), firstSentAt(this.#released));
  }

  /** Takes over what the store has of an earlier process. */
  restore(store: SessionStore, publications: readonly Restored[]): void {
    this.#journal = store;
    for (const publication of publications) {
      const { packetId, awaits } = publication;
      if (packetId && !awaits) continue;
      this.#window.count(publication, 1);
      insert(publication, !packetId ? this.#queue : awaits === PUBCOMP ? this.#released : this.#sent);
    }
  }

  /** See `Session.publish`. True: it was QoS 0 and has been sent, so that it is over. */
  publish(publication: Publication): boolean {
    const { topic, payload, qos, retain } = publication;
    const { time, output, ids } = this.#parts;
    publication.acceptedAt = Math.floor(time.now);
    publication.size = topic.length + payload.length;
    if (this.isQueueEmpty && this.#maySend(publication)) {
      if (!qos) {
        output.publish(publication, false, time.now);
        return true;
      }
      if (ids.take(publication)) {
        try {
          if (this.#journal) {
            checkPublish(topic, payload, qos, retain);
            this.#journal.accepted(publication, publication.packetId);
          }
          output.publish(publication, false, time.now);
        } catch (error) {
          ids.release(publication);
          throw error;
        }
        this.#track(publication);
        return false;
      }
    }
    this.#enqueue(publication);
    return false;
  }

  /** Whether it may go out now, the first time. */
  #maySend(publication: Publication): boolean {
    const mayAny = !this.isHolding && this.#mayWrite && this.#again.next === this.#again;
    return mayAny && this.#window.hasRoom(publication);
  }

  get #mayWrite(): boolean {
    return this.isOpen && this.isWritable && this.suspect.stage === "watching";
  }

  /** It was sent the first time: from now on it is in flight. */
  #track(publication: Publication): void {
    const { time, options } = this.#parts;
    this.#begin(publication);
    insert(publication, this.#sent);
    time.schedule(publication.sentAt + options.operationTimeout);
  }

  #begin(publication: Publication): void {
    publication.awaits = publication.qos === 1 ? PUBACK : PUBREC;
    publication.sentAt = Math.floor(this.#parts.time.now);
    this.#window.count(publication, 1);
    if (!publication.settled && !(publication instanceof Restored)) this.awaited++;
  }

  #enqueue(publication: Publication): void {
    const { time, options } = this.#parts;
    const { maxCount, maxBytes, maxAge, overflow, qos0 } = options.queue;
    const { topic, payload, qos, retain } = publication;
    checkPublish(topic, payload, qos, retain);
    if (!this.isOpen && !(maxCount && (qos || qos0))) throw this.#offline(publication.acceptedAt);
    publication.wait(this.isOpen && this.#window.isQueueShort);
    const { size } = publication;
    if (this.#window.isQueueFull(size)) {
      const full = this.#full(publication.acceptedAt);
      if (overflow === "reject" || size > maxBytes || !maxCount) throw full;
      // Many small ones may have to go for a large one.
      while (this.#window.isQueueFull(size) && !this.isQueueEmpty) this.giveUp(this.#queue.next as Publication, full);
      // One that is held back counts too, and is not dropped for another.
      if (this.#window.isQueueFull(size)) throw full;
    }
    if (qos) this.#journal?.accepted(publication, 0);
    insert(publication, this.#queue);
    this.#window.count(publication, 1);
    time.schedule(publication.acceptedAt + maxAge);
  }

  /** Sends again what has to be, and then what is queued, as far as it may be. */
  pump(): void {
    const { time, output, ids } = this.#parts;
    if (this.suspect.stage === "alone") this.#trySuspect();
    this.hasMore = false;
    this.#resend();
    while (!this.isQueueEmpty) {
      const publication = this.#queue.next as Publication;
      if (!this.#maySend(publication)) return;
      this.hasMore = output.isFull;
      if (this.hasMore || (publication.qos && !ids.take(publication))) return;
      output.publish(publication, false, time.now);
      unlink(publication);
      this.#window.count(publication, -1);
      if (publication.qos) {
        this.#track(publication);
        // Still before the packet leaves: a store that fails takes the output with it.
        this.#journal?.state(publication, publication.packetId);
      } else this.#settle(publication, undefined);
    }
  }

  /** The connection thrives without the accused; once no PUBREL is under way, it goes alone. */
  #trySuspect(): void {
    const publication = this.#held.next as Publication;
    if (publication === (this.#held as Link) || !this.isOpen || this.#released.next !== this.#released) return;
    this.suspect.sent(publication, this.#parts.time);
    this.#sendHeld(publication);
  }

  /** The held one takes its place as the oldest of all, and is sent. */
  #sendHeld(publication: Publication): void {
    const { output, ids, time } = this.#parts;
    const { packetId } = publication;
    if (!packetId && !ids.take(publication)) return;
    output.publish(publication, packetId > 0, time.now);
    unlink(publication);
    insert(publication, this.#sent.next);
    publication.sentAt = Math.floor(time.now);
    if (packetId) return;
    this.#window.count(publication, -1);
    this.#begin(publication);
    // Last: a store that fails ends the connection, but leaves the message in its place.
    this.#journal?.state(publication, publication.packetId);
  }

  /** Nothing is held against the held one any more: it takes its place, and what waited with it goes. */
  #releaseHeld(): void {
    if (this.suspect.stage !== "watching") return;
    const publication = this.#held.next as Publication;
    if (publication !== (this.#held as Link)) {
      unlink(publication);
      const sent = this.isOpen ? this.#again : this.#sent;
      insert(publication, publication.packetId ? sent.next : this.#queue.next);
    }
  }

  // ---- the server's answers

  /** PUBACK, PUBREC or PUBCOMP for a publication that waits for it. */
  acknowledged(publication: Publication, type: number): void {
    this.suspect.acknowledged(publication);
    if (type === PUBREC) {
      this.#journal?.released(publication);
      publication.awaits = PUBCOMP;
      publication.empty();
      unlink(publication);
      insert(publication, this.#released);
      this.release(publication);
    } else this.#drop(publication, undefined);
  }

  /** After answers of the server: sends what may go now. */
  goOn(): void {
    this.#releaseHeld();
    this.pump();
  }

  /** Sends PUBREL, the first time or again. */
  release(publication: Publication): void {
    const { output, time } = this.#parts;
    publication.sentAt = Math.floor(time.now);
    output.answer("pubrel", publication.packetId, time.now);
  }

  // ---- connections

  /** CONNACK: the server has the session, or has none (policy 6). Sends again what has to be. */
  opened(sessionPresent: boolean): void {
    this.isOpen = true;
    this.suspect.opened(this.#parts.time);
    const { stage, accused } = this.suspect;
    if (stage === "without" && accused instanceof Publication) {
      unlink(accused);
      insert(accused, this.#held);
    }
    if (sessionPresent) this.#resume();
    else this.#startAnew();
  }

  /** What the server may not have goes again, in order, with the same identifiers (MQTT-4.4.0-1). */
  #resume(): void {
    for (const publication of walk<Publication>(this.#released)) {
      this.#parts.metrics.resends++;
      this.release(publication);
    }
    append(this.#again, this.#sent);
    // Their time runs from now on: they are late through no fault of this connection.
    const now = Math.floor(this.#parts.time.now);
    for (const publication of walk<Publication>(this.#again)) publication.sentAt = now;
    this.#resend();
  }

  /** Sends again what was sent on an earlier connection, as far as may be in this step. */
  #resend(): void {
    const { output, time, metrics } = this.#parts;
    while (this.#again.next !== this.#again && this.#mayWrite && output.isOpen) {
      this.hasMore = output.isFull;
      if (this.hasMore) return;
      const publication = this.#again.next as Publication;
      metrics.resends++;
      output.publish(publication, true, time.now);
      unlink(publication);
      insert(publication, this.#sent);
      publication.sentAt = Math.floor(time.now);
    }
  }

  /** QoS 1 becomes new messages; nobody knows what became of QoS 2. */
  #startAnew(): void {
    // First: where the store fails, so does the connection, and no identifier is free.
    this.#journal?.renewed();
    this.#parts.ids.renew();
    const error = sessionLost();
    const oldest = this.#queue.next;
    for (const list of [this.#held, this.#released, this.#sent]) {
      for (const publication of members<Publication>(list)) {
        if (publication.settled || publication.qos > 1) this.#drop(publication, error);
        else this.#requeue(publication, list === this.#held ? list : oldest);
      }
    }
  }

  #requeue(publication: Publication, before: Link): void {
    if (publication.awaits === QUEUED) return;
    this.#journal?.state(publication, 0);
    this.#parts.ids.release(publication);
    unlink(publication);
    this.#window.count(publication, -1);
    if (!(publication instanceof Restored)) this.awaited--;
    publication.awaits = QUEUED;
    publication.wait(false);
    this.#window.count(publication, 1);
    insert(publication, before);
  }

  /** The connection is gone. `byPeer`: by the other end's doing, as far as this end can know. Returns a condemned request. */
  lost(error: HubwireError, byPeer: boolean, asking: Exchange | undefined): Exchange | undefined {
    const isJudged = this.isOpen && this.#parts.options.poisonDetection;
    if (this.isOpen) this.#window.pack(this.#queue);
    append(this.#sent, this.#again);
    this.isOpen = this.isHolding = this.hasMore = false;
    this.isWritable = true;
    const condemned = isJudged ? this.#judge(byPeer, asking) : undefined;
    if (this.#parts.options.queue.qos0) return condemned;
    for (const publication of walk<Publication>(this.#queue)) if (!publication.qos) this.giveUp(publication, error);
    return condemned;
  }

  #judge(byPeer: boolean, asking: Exchange | undefined): Exchange | undefined {
    const oldest = this.#sent.next === this.#sent ? undefined : (this.#sent.next as Publication);
    const condemned = this.suspect.ended(this.#parts.time.now, oldest, asking, byPeer);
    this.#releaseHeld();
    if (!(condemned instanceof Publication)) return condemned;
    const error = refused("ERR_MESSAGE_REFUSED");
    if (condemned.settled) this.#parts.event({ type: "abandoned", error });
    // The server may have it, and only its PUBREC be lost: the next of the same identifier would be taken for it.
    this.#drop(condemned, error, condemned.qos > 1);
    return undefined;
  }

  // ---- the end of a message

  /** Nobody waits any more: one that was not sent is forgotten, one that was keeps its identifier. */
  giveUp(publication: Publication, error: HubwireError): void {
    if (publication.settled) return;
    if (!publication.packetId) return this.#drop(publication, error);
    this.#settle(publication.own(), error);
    if (publication.awaits < PUBCOMP) this.#journal?.state(publication, publication.packetId, true);
  }

  /** All that anybody waits for is over with `error`. */
  giveUpAll(error: HubwireError): void {
    try {
      const sent = walkAll<Publication>([this.#held, this.#released, this.#sent, this.#again]);
      forAll(sent, (publication) => publication instanceof Restored || this.giveUp(publication, error));
    } finally {
      // The queue leaves at once; the owner tells who waits in its own time, for they may be many.
      const { accused } = this.suspect;
      if (accused && !accused.packetId) this.suspect.clear();
      const gone = settledNow(this.#queue);
      this.#window.clearQueue();
      for (const restored of walk<Publication>(this.#queue)) this.#window.count(restored, 1);
      this.#parts.settleAll(walk(gone), error);
      this.#journal?.forgetQueue();
    }
  }

  /** Forgets everything but what the store has. */
  end(error: HubwireError): void {
    this.#window.clear();
    this.#parts.settleAll(awaitedOf([this.#held, this.#sent, this.#again, this.#released, this.#queue]), error);
  }

  /** The end of a publication: frees its identifier or retires it, settles it and forgets it. */
  #drop(publication: Publication, error: HubwireError | undefined, isRetired = false): void {
    const { ids, event } = this.#parts;
    const { packetId } = publication;
    if (publication === this.suspect.accused) this.suspect.clear();
    // Nobody waits for it here, but it must not vanish silently.
    if (error && !publication.settled && publication instanceof Restored) event({ type: "abandoned", error });
    unlink(publication);
    this.#settle(publication, error);
    this.#window.count(publication, -1);
    ids.release(publication, isRetired);
    // Last: a store that fails ends the connection, but leaves nothing behind.
    this.#journal?.done(publication, isRetired ? packetId : 0);
  }

  #settle(publication: Publication, error: HubwireError | undefined): void {
    if (publication.settled) return;
    publication.settle();
    if (publication instanceof Restored) return;
    if (publication.awaits !== QUEUED) this.awaited--;
    this.#parts.settle(publication, error);
  }

  // ---- time

  /** Gives up what has waited for too long. */
  tick(): void {
    const { time, options } = this.#parts;
    const look = new Expiry(time, options, this.isOpen, (publication, error) => this.giveUp(publication, error));
    look.atUnsent(this.#queue, true);
    look.atUnsent(this.#held, false);
    look.atSent(this.#sent, true);
    look.atSent(this.#again, true);
    look.atSent(this.#released, false);
    if (this.isOpen && this.suspect.tick(this.#parts)) this.goOn();
  }
}
