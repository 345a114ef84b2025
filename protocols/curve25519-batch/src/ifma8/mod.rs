use crate::secret_scalar::Multiplier;
#[derive(Clone, Copy)]
pub(crate) struct Ifma8(());
impl Ifma8 {
    pub(crate) fn detect() -> Option<Self> {
        None
    }
    pub(crate) fn hash_mul_encode(self, multiplier: &Multiplier, uniform: &[[u8; 32]], out: &mut [[u8; 32]]) {
        unimplemented!()
    }
    pub(crate) fn mul_encode(self, multiplier: &Multiplier, uniform: &[[u8; 32]], out: &mut [[u8; 32]]) {
        unimplemented!()
    }
}
