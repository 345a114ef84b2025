//! How large the windows of HTTP/2 are, at both ends.

/// Receive windows of HTTP/2. They bound memory per connection, and speed by window over round-trip time.
pub(super) const STREAM_WINDOW: u32 = 8 << 20;
pub(super) const CONNECTION_WINDOW: u32 = 9 << 20;
pub(super) const HTTP2_FRAME: u32 = 256 << 10;
