//! How typed values stand in the JSON of an entry, and the one reader that all kinds go through.

use std::collections::BTreeMap;

use tacitly_core::{PartyId, Value};

use super::refusal::{EntryRefusal, Place, Reason};
use crate::lint;
use crate::note::VerifierKey;

/// The most items in one list: one for each party that a job can have.
pub const MAX_ITEMS: usize = 128;

/// A value of a declared form.
pub(crate) trait Field: Sized {
    /// Reads the value of a field.
    fn read(place: &Place<'_>, value: &Value) -> Result<Self, EntryRefusal>;

    /// What an absent field means, if it may be absent.
    fn absent() -> Option<Self> {
        None
    }

    /// The value as it stands in the JSON; `None` leaves the field out.
    fn write(&self) -> Option<Value>;
}

/// A group of named fields, written as a map.
pub(crate) trait Record: Sized {
    fn read_fields(fields: &mut Fields<'_>) -> Result<Self, EntryRefusal>;
    fn write_fields(&self, map: &mut BTreeMap<String, Value>);

    /// What no single field can say.
    fn check(&self) -> Result<(), Reason> {
        Ok(())
    }
}

/// The fields of one map that have not been read yet.
pub(crate) struct Fields<'v> {
    place: &'v Place<'v>,
    left: BTreeMap<&'v str, &'v Value>,
}

impl<'v> Fields<'v> {
    pub(crate) fn new(place: &'v Place<'v>, map: impl Iterator<Item = (&'v str, &'v Value)>) -> Self {
        Self { place, left: map.collect() }
    }

    pub(crate) fn take<F: Field>(&mut self, name: &str) -> Result<F, EntryRefusal> {
        let place = Place::Field(self.place, name);
        match self.left.remove(name) {
            Some(value) => F::read(&place, value),
            None => F::absent().map_or_else(|| place.refuse(Reason::Missing), Ok),
        }
    }

    /// Refuses what nobody asked for.
    pub(crate) fn finish(self) -> Result<(), EntryRefusal> {
        if self.left.is_empty() { Ok(()) } else { self.place.refuse(Reason::Undeclared) }
    }
}

impl<R: Record> Field for R {
    fn read(place: &Place<'_>, value: &Value) -> Result<Self, EntryRefusal> {
        let Some(map) = value.as_map() else { return place.refuse(Reason::Form("a map of named values")) };
        let mut fields = Fields::new(place, map.iter().map(|(name, value)| (name.as_str(), value)));
        let record = Self::read_fields(&mut fields)?;
        fields.finish()?;
        record.check().or_else(|reason| place.refuse(reason))?;
        Ok(record)
    }

    fn write(&self) -> Option<Value> {
        let mut map = BTreeMap::new();
        self.write_fields(&mut map);
        Some(Value::Map(map))
    }
}

impl<F: Field> Field for Option<F> {
    fn read(place: &Place<'_>, value: &Value) -> Result<Self, EntryRefusal> {
        F::read(place, value).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }

    fn write(&self) -> Option<Value> {
        self.as_ref().and_then(F::write)
    }
}

impl<F: Field> Field for Vec<F> {
    fn read(place: &Place<'_>, value: &Value) -> Result<Self, EntryRefusal> {
        let Some(items) = value.as_list() else { return place.refuse(Reason::Form("a list")) };
        if items.len() > MAX_ITEMS {
            return place.refuse(Reason::TooMany(MAX_ITEMS));
        }
        items.iter().enumerate().map(|(at, item)| F::read(&Place::Item(place, at), item)).collect()
    }

    fn write(&self) -> Option<Value> {
        Some(Value::List(self.iter().filter_map(F::write).collect()))
    }
}

/// Writes one named field into a map, unless it is absent.
pub(crate) fn put<F: Field>(map: &mut BTreeMap<String, Value>, name: &str, field: &F) {
    if let Some(value) = field.write() {
        map.insert(name.to_owned(), value);
    }
}

/// Refuses what looks like something that must never be logged.
pub(crate) fn impersonal(text: &str) -> Result<(), Reason> {
    lint::find(text).map_or(Ok(()), |shape| Err(Reason::Personal(shape)))
}

/// Declares a type whose values are texts of one form: `parse` is the only way in, `Display` the way out.
macro_rules! text_field {
    ($name:ty, $form:expr) => {
        impl $crate::entry::field::Field for $name {
            fn read(
                place: &$crate::entry::refusal::Place<'_>,
                value: &tacitly_core::Value,
            ) -> Result<Self, $crate::entry::EntryRefusal> {
                let text = value.as_text();
                let parsed = text.map_or(Err($crate::entry::Reason::Form($form)), <$name>::parse);
                parsed.or_else(|reason| place.refuse(reason))
            }

            fn write(&self) -> Option<tacitly_core::Value> {
                Some(self.to_string().into())
            }
        }
    };
}
pub(crate) use text_field;

/// Declares a struct of public fields together with its place in the JSON of an entry: one list of fields for both.
macro_rules! record {
    (
        $(#[$doc:meta])*
        pub struct $name:ident { $($(#[$about:meta])* $field:ident: $form:ty,)* }
        $(check $check:path)?
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name { $($(#[$about])* pub $field: $form,)* }

        impl $crate::entry::field::Record for $name {
            fn read_fields(
                fields: &mut $crate::entry::field::Fields<'_>,
            ) -> Result<Self, $crate::entry::EntryRefusal> {
                // A kind without fields of its own reads nothing.
                let _ = &fields;
                Ok(Self { $($field: fields.take(stringify!($field))?,)* })
            }

            fn write_fields(&self, map: &mut std::collections::BTreeMap<String, tacitly_core::Value>) {
                let _ = &map;
                $($crate::entry::field::put(map, stringify!($field), &self.$field);)*
            }

            $(fn check(&self) -> Result<(), $crate::entry::Reason> {
                $check(self)
            })?
        }
    };
}
pub(crate) use record;

/// Declares a choice among fixed words.
macro_rules! choice {
    ($(#[$doc:meta])* pub enum $name:ident: $form:literal { $($(#[$about:meta])* $word:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$about])* $word,)* }

        impl $name {
            /// The word as it stands in an entry.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$word => $text,)* }
            }

            /// Reads the word.
            ///
            /// # Errors
            /// [`Reason::Form`]($crate::entry::Reason::Form) for any other.
            pub fn parse(text: &str) -> Result<Self, $crate::entry::Reason> {
                match text { $($text => Ok(Self::$word),)* _ => Err($crate::entry::Reason::Form($form)) }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        $crate::entry::field::text_field!($name, $form);
    };
}
pub(crate) use choice;

impl Field for PartyId {
    fn read(place: &Place<'_>, value: &Value) -> Result<Self, EntryRefusal> {
        let form = Reason::Form("a party's name (1 to 32 of a-z, 0-9 and '-')");
        let party = value.as_text().and_then(|text| text.parse::<Self>().ok());
        let named = party.ok_or(form).and_then(|party| impersonal(party.as_str()).map(|()| party));
        named.or_else(|reason| place.refuse(reason))
    }

    fn write(&self) -> Option<Value> {
        Some(self.as_str().into())
    }
}

impl Field for VerifierKey {
    fn read(place: &Place<'_>, value: &Value) -> Result<Self, EntryRefusal> {
        let form = Reason::Form("a verifier key (name+id+base64)");
        let key = value.as_text().and_then(|text| Self::parse(text).ok());
        let named = key.ok_or(form).and_then(|key| impersonal(key.name()).map(|()| key));
        named.or_else(|reason| place.refuse(reason))
    }

    fn write(&self) -> Option<Value> {
        Some(self.to_string().into())
    }
}
