"""Remote write, in and out. Imported only when a configuration or a flag needs it: protobuf costs memory."""
