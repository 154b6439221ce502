//! Just enough of the protobuf wire format to read a SentencePiece model.

/// A field's value.
pub(super) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Float(f32),
}

/// The fields of a message, in their order. Ends with `Err` where the message is damaged.
pub(super) struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn take(&mut self, bytes: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(bytes).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    fn field(&mut self) -> Option<(u64, Value<'a>)> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => Value::Bytes(self.take(8)?),
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Float(f32::from_le_bytes(*self.take(4)?.first_chunk()?)),
            _ => return None,
        };
        Some((key >> 3, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or("it is damaged, or no protobuf message"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_and_damage_ends_them() {
        let message = [0x08, 0x96, 0x01, 0x12, 2, b'h', b'i', 0x1D, 0, 0, 0x80, 0x3F];
        let read: Vec<_> = Fields(&message).collect::<Result<_, _>>().unwrap();
        assert!(matches!(read[0], (1, Value::Number(150))));
        assert!(matches!(read[1], (2, Value::Bytes(b"hi"))));
        assert!(matches!(read[2], (3, Value::Float(one)) if (one - 1.0).abs() < f32::EPSILON));
        for damaged in [&message[..2], &message[..6], &message[..11], &[0x0B], &[0x80; 11]] {
            assert!(Fields(damaged).any(|field| field.is_err()), "{damaged:?}");
        }
    }
}
