//! Frames from Python: any object with `__arrow_c_stream__`, or lists.

use arrow_array::RecordBatchReader;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyString};
use tacitly::codes::{DATASET_INPUT, Error};
use tacitly::rpc::control::{FrameBatch, FrameCells};

use crate::columns::{Column, NoKey};
use crate::failure::Failure;
use crate::take::stream_of;

/// A batch is cut here, well below what one message may hold.
const BATCH_BYTES: usize = 1 << 20;
const BATCH_ROWS: usize = 1 << 16;

/// Key columns on their way to a daemon.
#[pyclass(frozen, module = "tacitly._core")]
pub(crate) struct Frame {
    columns: Vec<String>,
    batches: Vec<FrameBatch>,
    rows: usize,
}

impl Frame {
    pub(crate) fn columns(&self) -> &[String] {
        &self.columns
    }

    pub(crate) fn batches(&self) -> Vec<FrameBatch> {
        self.batches.clone()
    }
}

#[pymethods]
impl Frame {
    /// The key columns of an object with `__arrow_c_stream__`.
    #[staticmethod]
    fn from_arrow(py: Python<'_>, source: &Bound<'_, PyAny>, columns: Vec<String>) -> PyResult<Self> {
        if columns.is_empty() {
            return Err(without_columns());
        }
        let stream = stream_of(source)?;
        let schema = stream.schema();
        let places = columns
            .iter()
            .map(|name| {
                schema.index_of(name).map_err(|_| {
                    // A frame made of a file without a header has a row for names, so none is shown.
                    let there = schema.fields().len();
                    Failure::from(&Error::new(
                        DATASET_INPUT,
                        format!(
                            "the frame, column {name:?}: there is no such column; it has {there}; check the spelling"
                        ),
                    ))
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let read = py.detach(|| {
            let mut filling = Filling::new(columns.len());
            for batch in stream {
                let batch = batch.map_err(NoKey::Arrow).map_err(|why| (0, why))?;
                let read = |(at, place): (usize, &usize)| Column::new(batch.column(*place)).map_err(|why| (at, why));
                let cells = places.iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
                for row in 0..batch.num_rows() {
                    filling.row(|at, out| cells[at].append(row, out));
                }
                debug_assert!(cells.iter().all(|column| column.len() == batch.num_rows()));
            }
            Ok(filling.finish())
        });
        match read {
            Ok((batches, rows)) => Ok(Self { columns, batches, rows }),
            Err((at, NoKey::Type(found))) => Err(not_a_key(&columns[at], &found.to_string())),
            Err((_, NoKey::Arrow(error))) => Err(PyValueError::new_err(error.to_string())),
        }
    }

    /// Columns of Python values: texts, bytes, whole numbers, or nothing.
    #[staticmethod]
    fn from_lists(columns: Vec<(String, Vec<Bound<'_, PyAny>>)>) -> PyResult<Self> {
        let Some((_, first)) = columns.first() else { return Err(without_columns()) };
        let rows = first.len();
        if columns.iter().any(|(_, cells)| cells.len() != rows) {
            return Err(PyValueError::new_err("the columns of a frame are equally long"));
        }
        let mut filling = Filling::new(columns.len());
        for row in 0..rows {
            let mut refused = None;
            filling.row(|at, out| {
                let (name, cells) = &columns[at];
                append(&cells[row], out).unwrap_or_else(|found| {
                    refused = Some(not_a_key(name, &format!("{found} (row {})", row + 1)));
                    false
                })
            });
            if let Some(refused) = refused {
                return Err(refused);
            }
        }
        let (batches, rows) = filling.finish();
        Ok(Self { columns: columns.into_iter().map(|(name, _)| name).collect(), batches, rows })
    }

    fn __len__(&self) -> usize {
        self.rows
    }
}

/// Appends a Python value to `out`. Returns whether it is a cell, or the name of a type that is no key.
fn append(value: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> Result<bool, String> {
    let other = || value.get_type().name().map_or_else(|_| "an unknown type".to_owned(), |name| name.to_string());
    if let Ok(text) = value.cast::<PyString>() {
        out.extend_from_slice(text.to_cow().map_err(|_| "text that is no Unicode".to_owned())?.as_bytes());
    } else if value.is_none() || value.cast::<PyFloat>().is_ok_and(|number| number.value().is_nan()) {
        // NaN is how numpy and older pandas write a missing cell.
        return Ok(false);
    } else if let Ok(bytes) = value.cast::<PyBytes>() {
        out.extend_from_slice(bytes.as_bytes());
    } else if value.is_instance_of::<PyBool>() || value.is_instance_of::<PyFloat>() {
        return Err(other());
    } else {
        let number: i128 = value.extract().map_err(|_| other())?;
        out.extend_from_slice(number.to_string().as_bytes());
    }
    Ok(true)
}

fn not_a_key(column: &str, found: &str) -> PyErr {
    let text = format!(
        "the frame, column {column:?}: a column of type {found} cannot be a key; store the identifier as text or as a \
         whole number"
    );
    Failure::from(&Error::new(DATASET_INPUT, text)).into()
}

/// Gathers rows into batches.
struct Filling {
    open: Vec<(Vec<u8>, Vec<u32>)>,
    batches: Vec<FrameBatch>,
    rows: usize,
}

impl Filling {
    fn new(columns: usize) -> Self {
        Self { open: vec![Default::default(); columns], batches: Vec::new(), rows: 0 }
    }

    /// Adds a row; `cell` appends the cell of a column and says whether there is one.
    fn row(&mut self, mut cell: impl FnMut(usize, &mut Vec<u8>) -> bool) {
        let mut bytes = 0;
        for (at, (cells, lengths)) in self.open.iter_mut().enumerate() {
            let before = cells.len();
            let present = cell(at, cells);
            // A cell beyond 4 GiB has no place in a batch and is refused by the daemon as too long.
            lengths.push(if present { u32::try_from(cells.len() - before + 1).unwrap_or(u32::MAX) } else { 0 });
            bytes += cells.len();
        }
        self.rows += 1;
        if bytes >= BATCH_BYTES || self.open[0].1.len() == BATCH_ROWS {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let columns = self.open.iter_mut().map(|(cells, lengths)| FrameCells {
            cells: std::mem::take(cells).into(),
            lengths: std::mem::take(lengths),
        });
        self.batches.push(FrameBatch { columns: columns.collect() });
    }

    fn finish(mut self) -> (Vec<FrameBatch>, usize) {
        if !self.open[0].1.is_empty() {
            self.cut();
        }
        (self.batches, self.rows)
    }
}

/// What is told of a frame without a key column.
fn without_columns() -> PyErr {
    PyValueError::new_err("a frame has at least one key column")
}

/// What is told of an object that offers no Arrow stream.
pub(crate) fn no_stream(source: &Bound<'_, PyAny>) -> PyErr {
    let name = source.get_type().name().map_or_else(|_| String::new(), |name| name.to_string());
    PyTypeError::new_err(format!("{name} has no __arrow_c_stream__"))
}
