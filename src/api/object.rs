//! A JSON object and nothing else. serde would also take a struct's fields as an array,
//! in the order in which they happen to be declared here.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// What an object holds.
#[derive(Debug)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Object)
    }
}

/// For a field that is an object or absent.
pub(super) fn optional<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::<Object<T>>::deserialize(deserializer)?.map(|Object(inner)| inner))
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::secrets::SetSecretRequest;

    #[test]
    fn arrays_are_no_objects() {
        let parse = serde_json::from_str::<Object<SetSecretRequest>>;
        assert_eq!(parse(r#"{"name":"A","value":"x"}"#).unwrap().0.name, "A");
        for bad in [
            "[]",
            r#"["A","x"]"#,
            r#"{"name":"A","value":"x","injection":["bearer"]}"#,
            r#"{"name":"A","name":"A","value":"x"}"#,
            r#"{"name":"A","value":"x","more":1}"#,
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
