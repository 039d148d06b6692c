// Faults that clients have had, put back into the sources one at a time: [file, text that is there once, what stands there instead].

/** @type {{ name: string, edits: [string, string, string][] }[]} */
export const mutants = [
  // Lost without a word
  {
    name: "UNSUBACK ends what was subscribed meanwhile",
    edits: [
      [
        "src/session/subscriptions.ts",
        `for (const route of asking.subscriptions) if (route.state === "ending") this.filters.remove(route);`,
        `for (const filter of asking.topicFilters) for (const route of this.filters.get(filter)?.routes ?? []) this.filters.remove(route);`,
      ],
    ],
  },
  {
    name: "a subscribe that timed out ends the one that was tried again",
    edits: [
      [
        "src/session/subscriptions.ts",
        "if (awaits !== SUBACK || !wasSent) return;\n    for (const topicFilter of asking.topicFilters) {\n      if (!isWanted(this.filters.get(topicFilter))) ",
        "if (awaits !== SUBACK || !wasSent) return;\n    for (const topicFilter of asking.topicFilters) {\n      ",
      ],
      ["src/session/subscriptions.ts", "if (!isWanted(filter)) this.#endUnwanted(topicFilter);", ""],
    ],
  },
  {
    name: "leaving a loop leaves the message in hand unacknowledged",
    edits: [
      [
        "src/client/mailbox.ts",
        `this.#state = "over";\n    this.#finish();\n    if (wasReading)`,
        `this.#state = "over";\n    if (wasReading)`,
      ],
    ],
  },
  {
    name: "unread messages of a subscription that was given up hold up all others",
    edits: [
      [
        "src/client/mailbox.ts",
        "const delivery = this.#deliveries[index];",
        "const delivery = undefined as Delivery | undefined;",
      ],
    ],
  },
  {
    name: "a next() that was pending at return() swallows the next message",
    edits: [["src/client/mailbox.ts", "if (wasReading) this.#mailbox.left(this);", ""]],
  },
  {
    name: "messages of a shared subscription match nothing",
    edits: [
      ["src/session/filters.ts", `const matched = topicFilter.replace(SHARED, "");`, "const matched = topicFilter;"],
    ],
  },
  {
    name: "a message that matches nothing is swallowed",
    edits: [
      ["src/client/reception.ts", "if (isUnexpected && !this.#isTold) {", "if (isUnexpected && this.#isClosed) {"],
    ],
  },
  // Stuck on a healthy connection
  {
    name: "acknowledgements that never come use up the window",
    edits: [["src/session/liveness.ts", "return sentAt + patience", "return Infinity + patience"]],
  },
  {
    name: "PUBACK for QoS 2 completes nothing",
    edits: [["src/session/answers.ts", "this.#downgrade();\n      this.#acknowledged(holder, PUBACK);", ""]],
  },
  {
    name: "a message that kills its connection is sent for ever",
    edits: [["src/session/suspect.ts", "const CONNECTIONS = 5;", "const CONNECTIONS = Infinity;"]],
  },
  {
    name: "a message is refused without a second look",
    edits: [
      ["src/session/suspect.ts", "const guilty = byPeer && wasAlone && now", "const guilty = byPeer && now"],
      ["src/session/suspect.ts", "now - this.#aloneAt <= 2", "now - Math.min(now, this.#aloneAt) <= 2"],
    ],
  },
  {
    name: "topics on which servers close are sent",
    edits: [["src/client/arguments.ts", `checkSendable(topic as string, "topic");`, ""]],
  },
  {
    name: "requests made while reading is paused see no answer",
    edits: [["src/client/engine.ts", "this.reception.load(this.desk.pending > 0);", "this.reception.load(false);"]],
  },
  {
    name: "a handler that never resolves stalls every later acknowledgement",
    edits: [["src/client/deliveries.ts", "(first as Running).startedAt + this.#handlerTimeout", "Infinity"]],
  },
  {
    name: "keep alive ends connections that are moving",
    edits: [
      [
        "src/session/keep-alive.ts",
        "Math.max(this.#pingAt, this.receivedAt, this.#takenAt)",
        "Math.max(this.#pingAt, this.receivedAt)",
      ],
      ["src/session/keep-alive.ts", "k / 2 + this.#underWay / SLOW_LINE", "k / 2"],
    ],
  },
  {
    name: "a peer that is gone is not noticed while reading is paused",
    edits: [
      [
        "src/session/keep-alive.ts",
        `if (!k || this.#pingAt === Infinity) return "fine";`,
        `if (!k || this.#pingAt === Infinity || !this.#reading) return "fine";`,
      ],
    ],
  },
  {
    name: "close() waits for its whole deadline although everything has left",
    edits: [
      [
        "src/session/session.ts",
        "this.#outbound.isWritable = ready;\n    this.#guard(now, () => {\n      this.#outbound.pump();\n      this.#drain.check();",
        "this.#outbound.isWritable = ready;\n    this.#guard(now, () => {\n      this.#outbound.pump();",
      ],
    ],
  },
  // Not bounded
  {
    name: "input is read while its answers cannot be written",
    edits: [
      ["src/client/flow.ts", "const isPaused = isFull || this.#isStuck;", "const isPaused = isFull && !this.#isStuck;"],
    ],
  },
  {
    name: "small messages that wait pin their chunks",
    edits: [
      ["src/client/deliveries.ts", "if (mailbox) payload = withoutPinning(payload);", ""],
      ["src/client/deliveries.ts", "this.bytes += chunk.bytes;", "this.bytes += 1;"],
      ["src/client/deliveries.ts", "this.bytes -= chunk.bytes;", "this.bytes -= 1;"],
    ],
  },
  // Ends what should go on, or goes on when it should not
  {
    name: "a refused identity ends a client that was accepted before",
    edits: [
      ["src/client/life-cycle.ts", `if (!this.#wasAccepted || error.code === "ERR_SAS_EXPIRED") return`, "return"],
    ],
  },
  {
    name: "events come after close()",
    edits: [
      [
        "src/client/engine.ts",
        `if (this.phase !== "closed") this.#emitLast(event, ...values);`,
        "this.#emitLast(event, ...values);",
      ],
    ],
  },
];
