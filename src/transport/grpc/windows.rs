//! How large the windows of HTTP/2 are, at both ends.

/// Receive windows of HTTP/2. They bound speed by window over round-trip time (40 MB/s at 50 ms), and memory per
/// connection while it is not read, small enough for a coordinator of a hundred links. What of a session waits to be
/// consumed is bounded by the session's own window.
pub(super) const STREAM_WINDOW: u32 = 2 << 20;
/// Room for both streams, so that one which is not read for a while takes nothing from the other.
pub(super) const CONNECTION_WINDOW: u32 = 2 * STREAM_WINDOW + (256 << 10);
/// Each connection has room for one, in each direction.
pub(super) const HTTP2_FRAME: u32 = 64 << 10;
