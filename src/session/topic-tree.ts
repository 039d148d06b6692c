/**
 * Which topic filters match a topic name, without a look at each filter (section 4.7).
 *
 * Invariants: it gives what `matchTopic` would, filter by filter; the cost of `match` depends on the levels of the name
 * and not on how many filters there are; a filter that was taken out leaves nothing behind.
 */

/** One level: the filters that end here, and the levels below. */
interface Node<V> {
  /** What stands at the filter that ends here. */
  value: V | undefined;
  /** Of the filter that goes on with `#`. */
  rest: V | undefined;
  levels: Map<string, Node<V>> | undefined;
}

const newNode = <V>(): Node<V> => ({ value: undefined, rest: undefined, levels: undefined });

export class TopicTree<V> {
  readonly #root: Node<V> = newNode();

  /** Makes of what stands at a legal `topicFilter` what `make` makes of it; undefined: nothing. */
  change(topicFilter: string, make: (value: V | undefined) => V | undefined): void {
    const levels = topicFilter.split("/");
    const end = levels[levels.length - 1] === "#" ? "rest" : "value";
    if (end === "rest") levels.pop();
    const path = [this.#root];
    let node = this.#root;
    for (const level of levels) {
      const below = (node.levels ??= new Map<string, Node<V>>());
      let next = below.get(level);
      if (!next) below.set(level, (next = newNode()));
      path.push((node = next));
    }
    if ((node[end] = make(node[end])) === undefined) this.#prune(path, levels);
  }

  /** Takes out the nodes of a path at which nothing stands any more. */
  #prune(path: readonly Node<V>[], levels: readonly string[]): void {
    for (let depth = levels.length; depth > 0; depth--) {
      const { value, rest, levels: below } = path[depth]!;
      if (value !== undefined || rest !== undefined || below?.size) return;
      path[depth - 1]!.levels!.delete(levels[depth - 1]!);
    }
  }

  /** Every value whose filter matches `topic`, in no order that means anything. */
  match(topic: string): V[] {
    const found: V[] = [];
    // MQTT-4.7.2-1
    this.#match(this.#root, topic, 0, !topic.startsWith("$"), found);
    return found;
  }

  /** Calls itself only where the way parts, so that the levels of a name take no stack. */
  #match(from: Node<V>, topic: string, at: number, wildcards: boolean, found: V[]): void {
    let node: Node<V> | undefined = from;
    for (let start = at, isWild = wildcards; node; isWild = true) {
      if (node.rest !== undefined && isWild) found.push(node.rest);
      if (start > topic.length) {
        if (node.value !== undefined) found.push(node.value);
        return;
      }
      const { levels }: Node<V> = node;
      if (!levels) return;
      const slash = topic.indexOf("/", start);
      const end = slash < 0 ? topic.length : slash;
      const exact = levels.get(topic.slice(start, end));
      const any: Node<V> | undefined = isWild ? levels.get("+") : undefined;
      start = end + 1;
      // A name has no wildcard (MQTT-3.3.2-2), so these two are not the same.
      if (exact && any) this.#match(any, topic, start, true, found);
      node = exact ?? any;
    }
  }
}
