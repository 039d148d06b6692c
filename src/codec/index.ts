/** MQTT 3.1.1 packets to bytes and back (`hubwire/codec`). */
export { HubwireError, type ErrorCode, type ErrorDetails, type ErrorKind } from "../errors.js";
export { MAX_PACKET_SIZE } from "./fault.js";
export { checkPublish } from "./check.js";
export { checkTopicFilter, checkTopicName, matchTopic } from "./topics.js";
export { Decoder, type DecoderOptions } from "./framing.js";
export { PacketReader, decode } from "./reader.js";
export { PacketWriter, checkPacket, encode } from "./writer.js";
export type * from "./types.js";
