/** What each entry of the package exports, sorted: a name that comes or goes is a decision, written down here too. */
export const publicNames: Record<string, string[]> = {
  hubwire: [
    "DeviceClient",
    "HubwireError",
    "createSasToken",
    "decodeProperties",
    "deriveGroupKey",
    "encodeProperties",
    "parseConnectionString",
    "parseSasToken",
    "provisionDevice",
  ],
  "hubwire/mqtt": ["HubwireError", "MqttClient", "SessionStore", "Subscription", "systemClock"],
  "hubwire/codec": [
    "Decoder",
    "HubwireError",
    "MAX_PACKET_SIZE",
    "PacketReader",
    "PacketWriter",
    "checkTopicFilter",
    "checkTopicName",
    "decode",
    "encode",
    "matchTopic",
  ],
  "hubwire/file-store": ["FileStore"],
  "hubwire/emulator": ["HubEmulator", "HubwireError", "createAuthority", "createSelfSigned", "defaultLimits"],
};
