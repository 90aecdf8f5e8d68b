"""Remote write, in and out. Imported only when a configuration or a flag asks for it: protobuf costs memory."""
