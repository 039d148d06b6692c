/**
 * The desired properties: one copy of the hub's document, and what the user's handler was told of it. Sans-IO.
 *
 * Invariants: all that the handler was told, merged over what it began with, is the document as soon as the hub can be
 * reached, whatever happened; the patch of a version that follows the known one is told as it came, and anything else
 * (a gap, a double, versions that start again because the device was made anew or moved, a new connection) is settled
 * by reading the document and telling the difference. One read is under way at a time; reads that failed, and those that
 * found nothing new, put off the next. A handler that is slow holds up a bounded number of patches: what comes on top
 * of them is told as one.
 *
 * The page "Understand and use device twins in IoT Hub" (device reconnection flow) lets a device pass over versions
 * that are not above the document's. That is right only while the device is not made anew, so that here only those are
 * passed over that were on their way while the document was read.
 */
import type { JsonObject } from "./json.js";
import { mergePatch, patchBetween } from "./merge-patch.js";

export interface DesiredSink {
  /** Calls the handler, then `taken()`. The patch is the handler's to keep. */
  tell(patch: JsonObject, version: number): void;
  /** Reads the document; `readDone` or `readFailed` answers, once, if need be on a later connection. */
  read(): void;
  /** Calls `due()` after `delay` ms, in place of an earlier wish; Infinity is never. */
  wake(delay: number): void;
}

/** Patches told and not taken yet. */
const MOST_AHEAD = 100;
/** Notifications kept while the document is read. */
const MOST_SINCE = 256;
const TOO_MANY: Change = { version: Infinity, patch: {}, applied: false };
/** ms before a read is tried again: doubled with each failure up to the most, of which a random half counts. */
const FIRST_PAUSE = 1_000;
const LONGEST_PAUSE = 60_000;

const NOTHING_LATE = [0, 0] as const;

interface Change {
  version: number;
  patch: JsonObject;
  /** It followed what was known, and was applied at once. */
  applied: boolean;
}

export class DesiredProperties {
  readonly #sink: DesiredSink;
  readonly #random: () => number;
  /** The hub's document, as far as it is known. */
  #document: JsonObject = {};
  /** Of `#document`; undefined: nothing was heard of it. */
  #version: number | undefined;
  /** `#document` itself while the handler is up to date. */
  #told: JsonObject = this.#document;
  #untaken = 0;
  #listening = false;
  #connected = false;
  /** While the document is read: the version that was known before, and what came since. */
  #reading: { from: number | undefined; since: Change[] } | undefined;
  /** Versions above the first and up to the second may be on their way although the document has them. */
  #late: readonly [above: number, upTo: number] = NOTHING_LATE;
  /** Reads in a row that failed, or that a doubt asked for in vain. */
  #futile = 0;
  /** The read is for a doubt: where it finds nothing new, the next doubt has time. */
  // Stryker disable next-line BooleanLiteral: each connection begins without a doubt.
  #doubtful = false;
  #waiting = false;

  constructor(sink: DesiredSink, random: () => number) {
    this.#sink = sink;
    this.#random = random;
  }

  /** The user read the document by himself: what a handler hears of begins there. */
  known(version: number, document: JsonObject): void {
    if (this.#listening) return;
    this.#version = version;
    this.#told = this.#document = mergePatch({}, document);
  }

  /** There is a handler, and the subscription is asked for. */
  listen(): void {
    this.#listening = true;
    if (this.#connected) this.#read();
  }

  connected(): void {
    this.#connected = true;
    this.#doubtful = false;
    this.#futile = 0;
    if (this.#listening) this.#read();
  }

  /** What was on its way is lost. A read goes on: the owner asks again. */
  lost(): void {
    this.#connected = false;
    this.#late = NOTHING_LATE;
    if (this.#reading) this.#reading.since = [];
    this.#wake(Infinity);
  }

  /** The hub tells of a change. */
  notified(version: number, patch: JsonObject): void {
    if (!this.#listening) return;
    const applied = this.#version === undefined || version === this.#version + 1;
    this.#reading?.since.push({ version, patch, applied });
    // More than anybody waits for: what they led to is read anew.
    if (this.#reading && this.#reading.since.length > MOST_SINCE) this.#reading.since = [TOO_MANY];
    if (applied) this.#apply(version, patch);
    else if (!this.#isLate(version)) this.doubt();
  }

  /** Something is amiss with what was heard. */
  doubt(): void {
    if (!this.#connected || this.#reading || this.#waiting) return;
    this.#doubtful = true;
    if (this.#futile === 0) this.#read();
    else this.#wake(this.#pause());
  }

  readDone(version: number, document: JsonObject): void {
    const { from = Infinity, since } = this.#reading!;
    this.#reading = undefined;
    this.#late = [from <= version ? from : version - 1, version];
    let [now, content] = [version, mergePatch({}, document)];
    let amiss = false;
    for (const change of since.sort((one, other) => one.version - other.version)) {
      if (change.version === now + 1) [now, content] = [now + 1, mergePatch(content, change.patch)];
      else if (change.version > now || !(change.applied || this.#isLate(change.version))) amiss = true;
    }
    const news = patchBetween(this.#document, content) !== undefined;
    this.#futile = this.#doubtful && !news && now === this.#version ? this.#futile + 1 : 0;
    this.#doubtful = false;
    this.#version = now;
    // Stryker disable next-line ConditionalExpression: an equal document is nothing to tell.
    if (news) this.#document = content;
    this.#tellDifference();
    if (amiss) this.doubt();
  }

  readFailed(): void {
    this.#reading = undefined;
    this.#futile++;
    if (this.#connected) this.#wake(this.#pause());
  }

  due(): void {
    this.#waiting = false;
    if (this.#connected) this.#read();
  }

  /** The handler is done with a patch. */
  taken(): void {
    if (--this.#untaken === 0) this.#tellDifference();
  }

  #read(): void {
    this.#wake(Infinity);
    if (this.#reading) return;
    this.#reading = { from: this.#version, since: [] };
    this.#sink.read();
  }

  #apply(version: number, patch: JsonObject): void {
    const upToDate = this.#told === this.#document && this.#untaken < MOST_AHEAD;
    this.#version = version;
    // What was on its way while the document was read has had its turn.
    this.#late = NOTHING_LATE;
    this.#document = mergePatch(this.#document, patch);
    if (!upToDate) return this.#tellDifference();
    this.#told = this.#document;
    this.#tell(patch, version);
  }

  #tellDifference(): void {
    // Stryker disable next-line ConditionalExpression: between a document and itself is nothing.
    if (this.#told === this.#document || this.#untaken >= MOST_AHEAD) return;
    const patch = patchBetween(this.#told, this.#document);
    this.#told = this.#document;
    if (patch) this.#tell(patch, this.#version as number);
  }

  #tell(patch: JsonObject, version: number): void {
    this.#untaken++;
    // What the handler does to its patch is not done to the document.
    this.#sink.tell(JSON.parse(JSON.stringify(patch)) as JsonObject, version);
  }

  #isLate(version: number): boolean {
    const [above, upTo] = this.#late;
    return version > above && version <= upTo;
  }

  #pause(): number {
    return (Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (this.#futile - 1)) * (1 + this.#random())) / 2;
  }

  #wake(delay: number): void {
    const waiting = delay < Infinity;
    if (waiting || this.#waiting) this.#sink.wake(delay);
    this.#waiting = waiting;
  }
}
