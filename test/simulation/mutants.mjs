// Faults that clients have had, put back into the sources one at a time: [file, text that is there once, what stands there instead].

/** `of`: the family that has to find it; `client` where it is left out.
 * @type {{ name: string, of?: string, edits: [string, string, string][] }[]} */
export const mutants = [
  // Lost without a word
  {
    name: "UNSUBACK ends what was subscribed meanwhile",
    edits: [
      [
        "src/session/subscriptions.ts",
        `for (const route of asking.subscriptions) this.filters.remove(route);`,
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
    name: "unread messages of a subscription that was given up count as load for ever",
    edits: [["src/client/deliveries.ts", "    this.count--;\n", ""]],
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
  {
    name: "a new session that the store cut short is taken for the old one",
    edits: [["src/session/handshake.ts", "return !this.#isBehind;", "return sessionPresent;"]],
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
    name: "keep alive ends connections on which acknowledgements arrive",
    edits: [
      [
        "src/session/keep-alive.ts",
        "Math.max(this.#pingAt, this.receivedAt, this.#takenAt)",
        "Math.max(this.#pingAt, this.#takenAt)",
      ],
    ],
  },
  {
    name: "a peer that is gone is not noticed while reading is paused",
    edits: [
      [
        "src/session/keep-alive.ts",
        `if (!isDue(life + patience)) return "fine";`,
        `if (!this.#reading || !isDue(life + patience)) return "fine";`,
      ],
    ],
  },
  {
    name: "close() waits for its whole deadline although everything has left",
    edits: [
      [
        "src/session/session.ts",
        "this.#outbound.isWritable = ready;\n    this.#guard(now, () => this.#goOn());",
        "this.#outbound.isWritable = ready;\n    this.#guard(now, () => this.#outbound.goOn());",
      ],
    ],
  },
  // Not bounded
  {
    name: "output grows while the peer does not read",
    edits: [
      [
        "src/client/flow.ts",
        "if (!this.#connection.write(chunks)) {",
        "if (!this.#connection.write(chunks) && bytes < 0) {",
      ],
    ],
  },
  {
    name: "what is in flight goes again in one piece",
    edits: [["src/session/outbound.ts", "this.hasMore = output.isFull;\n      if (this.hasMore) return;", ""]],
  },
  {
    name: "a new message overtakes what goes again",
    edits: [["src/session/outbound.ts", " && this.#again.next === this.#again", ""]],
  },
  {
    name: "each abort looks at the whole queue",
    edits: [
      [
        "src/session/outbound.ts",
        "if (publication.settled) return;\n    if (!publication.packetId) return",
        "if (publication.settled) return;\n    members(this.#queue);\n    if (!publication.packetId) return",
      ],
    ],
  },
  {
    name: "a lost connection without reconnect looks at the whole queue for each message",
    edits: [
      [
        "src/session/exchange.ts",
        "} else publication.settle();",
        "} else for (const _other of walk(all)) publication.settle();",
      ],
    ],
  },
  {
    name: "the end of a subscription looks at all filters",
    edits: [
      [
        "src/session/filters.ts",
        `route.state = "ended";\n    if (!filter?.isEmpty) return;`,
        `route.state = "ended";\n    for (const _other of this.#filters) void 0;\n    if (!filter?.isEmpty) return;`,
      ],
    ],
  },
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
  // Of a device
  {
    name: "a gap in the versions of the desired properties is not noticed",
    of: "device",
    edits: [["src/hub/desired.ts", "version === this.#version + 1;\n", "version > this.#version;\n"]],
  },
  {
    name: "the twin is not read again after a connection was lost",
    of: "device",
    edits: [
      ["src/hub/desired.ts", "    this.#futile = 0;\n    if (this.#listening) this.#read();", "    this.#futile = 0;"],
    ],
  },
  {
    name: "a reading of the twin that failed is not tried again",
    of: "device",
    edits: [["src/hub/desired.ts", "if (this.#connected) this.#wake(this.#pause());", ""]],
  },
  {
    name: "desired properties are told after close()",
    of: "device",
    edits: [["src/hub/twin.ts", "if (!this.#closed) await", "await"]],
  },
  {
    name: "a renewal does not wait for what is on its way",
    of: "device",
    edits: [["src/hub/renewal.ts", "reconnect({ drainTimeout: patience })", "reconnect({ drainTimeout: 0 })"]],
  },
  {
    name: "tokens are not renewed ahead",
    of: "device",
    edits: [["src/hub/renewal.ts", "this.#alarm.set(this.#source.renewAt);", ""]],
  },
  {
    name: "a call that comes twice is answered twice",
    of: "device",
    edits: [
      [
        "src/hub/methods.ts",
        "requestId === undefined || this.#answering.get(requestId)?.connection === this.#connection",
        "requestId === undefined",
      ],
      [
        "src/hub/methods.ts",
        "this.#answering.get(requestId) === call ? this.#respond(requestId, response) : undefined",
        "this.#respond(requestId, response)",
      ],
    ],
  },
  {
    name: "a method whose handler never ends is never answered",
    of: "device",
    edits: [["src/hub/methods.ts", "await busy.within(clock, timeout, response, late)", "await response"]],
  },
  {
    name: "a late answer is given to another request",
    of: "device",
    edits: [["src/hub/twin-requests.ts", "(++this.#lastId).toString(36)", "(++this.#lastId % 4).toString(36)"]],
  },
  {
    name: "twin requests are not asked again on the next connection",
    of: "device",
    edits: [
      ["src/hub/twin-requests.ts", "for (const request of [...this.#waiting.values()]) this.#send(request);", ""],
    ],
  },
  {
    name: "a message is completed before its handler is done",
    of: "device",
    edits: [["src/hub/inbox.ts", "      return work;\n", "      return undefined;\n"]],
  },
  {
    name: "what nobody read when the connection went is handed out twice",
    of: "device",
    edits: [["src/hub/inbox.ts", "for (const { resolve } of this.#held.splice(0)) resolve();", ""]],
  },
  {
    name: "an iteration that is left keeps its last message",
    of: "device",
    edits: [["src/hub/inbox.ts", "      return: () => {\n        finish();", "      return: () => {"]],
  },
  {
    name: "the error of a provider shows its secret",
    of: "device",
    edits: [
      [
        "src/hub/credentials.ts",
        "provider failed (${String(kind).slice(0, 64)})`);",
        "provider failed (${String(kind).slice(0, 64)})`, { cause: error });",
      ],
    ],
  },
];
