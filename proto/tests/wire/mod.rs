//! One spelling for every way of writing the same message.
//!
//! The wire leaves an encoder three freedoms: fields of different numbers may come in any order (Temporal writes the
//! members of a oneof last, prost writes them where the lowest of them belongs), map entries may come in any order, and
//! an entry may omit a key or a value that is zero or empty. [`Schema::canonical`] takes these away and nothing else:
//! two encodings of a message have one canonical form only if no field was lost, added or changed, be it in the schema
//! or not.

use std::collections::{BTreeMap, HashMap};

use prost::Message;
use prost_types::{DescriptorProto, FileDescriptorSet, field_descriptor_proto::Type};

/// The fields of every message, by full name.
pub(crate) struct Schema(HashMap<String, BTreeMap<u64, Kind>>);

/// As much of a field's type as its bytes do not tell.
enum Kind {
    Plain,
    Message(String),
    MapEntry(String),
}

impl Schema {
    /// Read a `google.protobuf.FileDescriptorSet`.
    pub(crate) fn new(descriptors: &[u8]) -> Self {
        let mut schema = Self(HashMap::new());
        for file in FileDescriptorSet::decode(descriptors).expect("a descriptor set").file {
            schema.add(file.package(), &file.message_type);
        }
        schema
    }

    /// The one spelling of `bytes`, which hold a `message`.
    pub(crate) fn canonical(&self, message: &str, bytes: &[u8]) -> Vec<u8> {
        let kinds = self.0.get(message).unwrap_or_else(|| panic!("{message} is not in the schema"));
        let mut fields: BTreeMap<u64, Vec<Field>> = BTreeMap::new();
        for mut field in parse(bytes) {
            match kinds.get(&field.number()) {
                Some(Kind::Message(name)) => field.value = self.canonical(name, &field.value),
                Some(Kind::MapEntry(name)) => field.value = self.canonical_entry(name, &field.value),
                Some(Kind::Plain) | None => {}
            }
            fields.entry(field.number()).or_default().push(field);
        }
        for (number, repeated) in &mut fields {
            if let Some(Kind::MapEntry(_)) = kinds.get(number) {
                repeated.sort_by(|a, b| a.value.cmp(&b.value));
            }
        }
        write(fields.values().flatten())
    }

    fn canonical_entry(&self, entry: &str, bytes: &[u8]) -> Vec<u8> {
        let fields = parse(&self.canonical(entry, bytes));
        write(fields.iter().filter(|field| !field.is_default()))
    }

    fn add(&mut self, scope: &str, messages: &[DescriptorProto]) {
        for message in messages {
            let full_name = format!("{scope}.{}", message.name());
            let entries =
                message.nested_type.iter().filter(|nested| nested.options.as_ref().is_some_and(|o| o.map_entry()));
            let entries: Vec<_> = entries.map(|entry| format!("{full_name}.{}", entry.name())).collect();
            let kind = |type_name: String| match entries.contains(&type_name) {
                true => Kind::MapEntry(type_name),
                false => Kind::Message(type_name),
            };
            let fields = message.field.iter().map(|field| match field.r#type() {
                Type::Message => (field.number(), kind(field.type_name().trim_start_matches('.').to_owned())),
                _ => (field.number(), Kind::Plain),
            });
            let fields = fields.map(|(number, kind)| (u64::from(number.unsigned_abs()), kind)).collect();
            self.add(&full_name, &message.nested_type);
            self.0.insert(full_name, fields);
        }
    }
}

/// A field as the wire has it: number and wire type in the key, no length in the value.
struct Field {
    key: u64,
    value: Vec<u8>,
}

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH_DELIMITED: u64 = 2;
const FIXED32: u64 = 5;

impl Field {
    fn number(&self) -> u64 {
        self.key >> 3
    }

    fn wire_type(&self) -> u64 {
        self.key & 7
    }

    fn is_default(&self) -> bool {
        match self.wire_type() {
            LENGTH_DELIMITED => self.value.is_empty(),
            _ => self.value.iter().all(|byte| *byte == 0),
        }
    }
}

fn parse(mut bytes: &[u8]) -> Vec<Field> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = take_varint(&mut bytes);
        let length = match key & 7 {
            VARINT => varint_length(bytes),
            FIXED64 => 8,
            LENGTH_DELIMITED => usize::try_from(take_varint(&mut bytes)).expect("a length that fits"),
            FIXED32 => 4,
            other => panic!("wire type {other}"),
        };
        let value = bytes.split_off(..length).expect("as many bytes as announced");
        fields.push(Field { key, value: value.to_vec() });
    }
    fields
}

fn write<'a>(fields: impl Iterator<Item = &'a Field>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for field in fields {
        put_varint(&mut bytes, field.key);
        if field.wire_type() == LENGTH_DELIMITED {
            put_varint(&mut bytes, field.value.len() as u64);
        }
        bytes.extend(&field.value);
    }
    bytes
}

fn take_varint(bytes: &mut &[u8]) -> u64 {
    let varint = bytes.split_off(..varint_length(bytes)).expect("it was just measured");
    varint.iter().rev().fold(0, |number, byte| number << 7 | u64::from(byte & 0x7f))
}

fn varint_length(bytes: &[u8]) -> usize {
    1 + bytes.iter().position(|byte| *byte < 0x80).expect("a varint has a last byte")
}

fn put_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}
