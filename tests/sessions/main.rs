//! Sessions between parties in one process: in memory on a virtual clock, and over real sockets.

mod bench;
mod hostile;
mod links;
mod memory;
mod requests;
mod script;
mod site;
mod support;
mod tls;
