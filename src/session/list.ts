/**
 * Intrusive doubly linked lists: a member carries its own links, so joining and leaving cost no allocation
 * and no search.
 *
 * Invariants: a list is a ring through its head; a member is in exactly one list; a head alone is an empty
 * list.
 */
export interface Link {
  prev: Link;
  next: Link;
}

/** An empty list. */
export function newList(): Link {
  const head = {} as Link;
  return (head.prev = head.next = head);
}

/** Puts `link` in front of `before`; in front of the head is the end of the list. */
export function insert(link: Link, before: Link): void {
  link.prev = before.prev;
  link.next = before;
  before.prev = before.prev.next = link;
}

/** Takes `link` out of its list. */
export function unlink(link: Link): void {
  link.prev.next = link.next;
  link.next.prev = link.prev;
}

/** Another list with all of its members; this one is empty then. */
export function takeAll(head: Link): Link {
  const other = newList();
  if (head.next === head) return other;
  other.next = head.next;
  other.prev = head.prev;
  other.next.prev = other.prev.next = other;
  head.next = head.prev = head;
  return other;
}

/** Puts all members of `other` behind those of `head`; `other` is empty then. */
export function append(head: Link, other: Link): void {
  if (other.next === other) return;
  other.next.prev = head.prev;
  head.prev.next = other.next;
  other.prev.next = head;
  head.prev = other.prev;
  other.next = other.prev = other;
}

/** The members in order, without a copy: the one in hand may leave its list, and no other may. */
export function* walk<T extends Link>(head: Link): Iterable<T> {
  for (let link = head.next; link !== head;) {
    const { next } = link;
    yield link as T;
    link = next;
  }
}

/** The members of these lists in order, as `walk` gives those of one. */
export function* walkAll<T extends Link>(heads: Iterable<Link>): Iterable<T> {
  for (const head of heads) yield* walk<T>(head);
}

/** Does `work` for all of them, whatever it throws for some; then throws what it threw first. */
export function forAll<T>(all: Iterable<T>, work: (one: T) => void): void {
  let failure: unknown;
  for (const one of all) {
    try {
      work(one);
    } catch (error) {
      failure ??= error;
    }
  }
  if (failure) throw failure;
}

/** The members now, in order; a copy, so that the list may change while it is walked. */
export function members<T extends Link>(head: Link): T[] {
  const all: T[] = [];
  for (let link = head.next; link !== head; link = link.next) all.push(link as T);
  return all;
}
