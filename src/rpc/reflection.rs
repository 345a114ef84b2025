//! What the control service says of itself to tools such as `grpcurl`, if its operator wants that.

use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};
use tonic_reflection::server::{Builder, Error};

/// The description of the control service, made with its code.
const CONTROL: &[u8] = include_bytes!("generated/descriptors.bin");

/// gRPC reflection over the control service and the health service.
///
/// # Errors
/// [`Error`] if a description cannot be decoded, which a test rules out.
pub fn service() -> Result<ServerReflectionServer<impl ServerReflection>, Error> {
    Builder::configure()
        .register_encoded_file_descriptor_set(CONTROL)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
}
