//! Arrow's C stream interface, in and out, and rows of what came in. The only place with `unsafe`: the interface is made
//! of pointers.
#![allow(unsafe_code)]

use arrow_array::ffi_stream::{FFI_ArrowArrayStream, RecordBatchStreamReader};
use arrow_array::{RecordBatch, RecordBatchIterator, RecordBatchReader, UInt32Array};
use arrow_schema::ArrowError;
use arrow_select::concat::concat_batches;
use arrow_select::take::take_record_batch;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::frame::no_stream;

/// A table in memory that any Arrow library takes without a copy.
#[pyclass(frozen, module = "tacitly._core")]
pub(crate) struct Table(RecordBatch);

/// The Arrow stream of a Python object.
pub(crate) fn stream_of(source: &Bound<'_, PyAny>) -> PyResult<RecordBatchStreamReader> {
    if !source.hasattr("__arrow_c_stream__")? {
        return Err(no_stream(source));
    }
    let capsule = source.call_method1("__arrow_c_stream__", (None::<()>,))?.cast_into::<PyCapsule>()?;
    let pointer = capsule.pointer_checked(Some(c"arrow_array_stream"))?.cast::<FFI_ArrowArrayStream>();
    // SAFETY: a capsule of this name holds a valid stream, by the Arrow PyCapsule interface. `from_raw` moves the stream
    // out and leaves a released one, so the capsule's destructor frees nothing twice.
    let reader = unsafe { RecordBatchStreamReader::from_raw(pointer.as_ptr()) };
    reader.map_err(refused)
}

fn refused(error: ArrowError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// Rows of an object with `__arrow_c_stream__`, in the order of `rows`, which are 32-bit numbers of this machine.
#[pyfunction]
pub(crate) fn take(py: Python<'_>, source: &Bound<'_, PyAny>, rows: &[u8]) -> PyResult<Table> {
    let rows: UInt32Array =
        rows.chunks_exact(4).map(|row| u32::from_ne_bytes([row[0], row[1], row[2], row[3]])).collect();
    let stream = stream_of(source)?;
    let taken = py.detach(|| {
        let schema = stream.schema();
        let batches = stream.collect::<Result<Vec<_>, _>>()?;
        take_record_batch(&concat_batches(&schema, &batches)?, &rows)
    });
    taken.map(Table).map_err(refused)
}

#[pymethods]
impl Table {
    fn __len__(&self) -> usize {
        self.0.num_rows()
    }

    /// The names of the columns.
    #[getter]
    fn column_names(&self) -> Vec<String> {
        self.0.schema().fields().iter().map(|field| field.name().clone()).collect()
    }

    /// The Arrow PyCapsule interface. Types are as they are: no other schema is granted.
    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let _only_a_wish = requested_schema;
        let batches = RecordBatchIterator::new([Ok(self.0.clone())], self.0.schema());
        let stream = FFI_ArrowArrayStream::new(Box::new(batches));
        PyCapsule::new_with_value(py, stream, c"arrow_array_stream")
    }
}
