"""Rules: from rule files to alerts and recorded samples. Everything but `loop` is synchronous and reads no clock."""
