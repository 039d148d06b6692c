/** Who has waited for too long. */
import { HubwireError } from "../errors.js";
import { type Publication, Restored } from "./exchange.js";
import type { Link } from "./list.js";
import type { Time } from "./time.js";

export const timedOut = (): HubwireError => new HubwireError("ERR_TIMEOUT", "not acknowledged within operationTimeout");
export const expired = (): HubwireError =>
  new HubwireError("ERR_MESSAGE_EXPIRED", "the message waited for longer than maxAge");

/**
 * Gives up each publication of `list` for which somebody waits and whose time has come; all of them with one error, for
 * there may be many. `inOrder`: whoever comes later in the list is due later, so that the look ends with the first that
 * is not due.
 */
export function expire(
  list: Link,
  time: Time,
  dueAt: (publication: Publication) => number,
  late: () => HubwireError,
  giveUp: (publication: Publication, error: HubwireError) => void,
  inOrder: boolean,
): void {
  let error: HubwireError | undefined;
  for (let link = list.next; link !== list;) {
    const publication = link as Publication;
    link = link.next;
    // A message of an earlier process stays until it is delivered.
    if (publication.settled || publication instanceof Restored) continue;
    if (time.isDue(dueAt(publication))) giveUp(publication, (error ??= late()));
    else if (inOrder) return;
  }
}
