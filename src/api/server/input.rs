//! What handlers are given: axum's own extractors, with refusals in our form.
//!
//! A client of another version may send what this one does not understand; a
//! refusal that is no [`Problem`] would look to it like a stranger's.

use std::{fmt, marker::PhantomData};

use axum::{
    Json,
    extract::{
        FromRequest, FromRequestParts, Path, Query, Request,
        rejection::{PathRejection, QueryRejection},
    },
    http::request::Parts,
};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::Refused;
use crate::api::wire::Problem;

/// A body of JSON.
pub(super) struct Sent<T>(pub(super) T);

/// An object, as every body is. A derived type would take a list of its fields' values,
/// too, which nobody documented.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(fields))
            }
        }

        deserializer.deserialize_map(Fields(PhantomData)).map(Self)
    }
}

/// The names in the path.
pub(super) struct Named<T>(pub(super) T);

/// The query of the address.
pub(super) struct Asked<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Sent<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        match Json::from_request(request, state).await {
            Ok(Json(Object(sent))) => Ok(Self(sent)),
            Err(rejection) => Err(misunderstood(rejection.body_text())),
        }
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        Query::from_request_parts(parts, state)
            .await
            .map(|Query(asked)| Self(asked))
            .map_err(|rejection: QueryRejection| misunderstood(rejection.body_text()))
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Named<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        Path::from_request_parts(parts, state)
            .await
            .map(|Path(named)| Self(named))
            .map_err(|rejection: PathRejection| misunderstood(rejection.body_text()))
    }
}

fn misunderstood(why: String) -> Refused {
    Problem::new("invalid_request", why)
        .hinted("`cosmos proxy status` shows whether the proxy is older than your `cosmos`")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Wish {
        name: String,
    }

    fn read(json: &str) -> Result<Wish, String> {
        let read = serde_json::from_str(json).map(|Object(wish)| wish);
        read.map_err(|error| error.to_string())
    }

    #[test]
    fn a_body_is_an_object_and_no_list_of_what_it_would_hold() {
        let name = "a".to_owned();
        assert_eq!(read(r#"{"name":"a"}"#), Ok(Wish { name }));
        assert_eq!(read("{}"), Ok(Wish::default()));
        for other in ["[]", r#"["a"]"#, r#""a""#, "1", "null"] {
            let why = read(other).unwrap_err();
            assert!(why.contains("expected an object"), "{other}: {why}");
        }
    }
}
