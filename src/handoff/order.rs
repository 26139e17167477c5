//! What a front tells a worker to do.

use super::build::BUILD;
use super::call::Call;
use super::encoding::{Reader, Writer};
use super::zygote::ZygoteOrder;

/// An order. A [`Call`] comes with descriptors 0, 1 and 2 of the request, a [`ZygoteOrder`] with a listening socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Answer a request.
    Answer(Box<Call>),
    /// Become a zygote.
    Zygote(Box<ZygoteOrder>),
}

impl Order {
    /// The bytes of it.
    pub fn encode(&self) -> Vec<u8> {
        let mut fields = Writer::default();
        fields.put(BUILD);
        match self {
            Self::Answer(call) => {
                fields.put("answer");
                call.write(&mut fields);
            }
            Self::Zygote(order) => {
                fields.put("zygote");
                order.write(&mut fields);
            }
        }
        fields.into_bytes()
    }

    /// The order that [`Self::encode`] gave, or why there is none: the bytes are damaged, or of another build.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let mut fields = Reader::new(bytes);
        let build = fields.text().unwrap_or_default();
        if build != BUILD {
            return Err(format!(
                "the front is build {build:?} and the worker is build {BUILD:?}: install both from the same build"
            ));
        }
        let order = match fields.text() {
            Some("answer") => Call::read(&mut fields).map(Box::new).map(Self::Answer),
            Some("zygote") => ZygoteOrder::read(&mut fields).map(Box::new).map(Self::Zygote),
            _ => None,
        };
        order
            .filter(|_| fields.is_at_end())
            .ok_or_else(|| "what the front sent is damaged".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::call::tests::call;
    use super::super::identity::Identity;
    use super::super::limits::Limits;
    use super::super::service::tests::service;
    use super::*;
    use crate::timings::Moment;

    fn orders() -> [Order; 2] {
        let limits = Limits {
            idle: Duration::from_millis(1500),
            spare: 3,
            max: 7,
            request: Some("/warm:up".into()),
            ignored: vec!["KIND".into(), "Visitor_*".into()],
            memory: Some(1 << 30),
        };
        let zygote = ZygoteOrder {
            directory: "/tmp/ü".into(),
            socket_identity: 9,
            identity: Identity::from_bytes(b"a:b\xff".to_vec()),
            worker: "/usr/lib/worker.so".into(),
            service: service(),
            limits,
            is_on_trial: true,
            deadline: Moment::from_nanos(5),
            why: "first".into(),
        };
        [Order::Answer(Box::new(call())), Order::Zygote(Box::new(zygote))]
    }

    #[test]
    fn an_order_arrives_as_it_was_sent() {
        for order in orders() {
            assert_eq!(Order::decode(&order.encode()), Ok(order));
        }
    }

    #[test]
    fn damage_and_another_build_are_errors() {
        for order in orders() {
            let bytes = order.encode();
            for end in 0..bytes.len() {
                // A call that is cut after a variable is a call with fewer variables.
                assert_ne!(Order::decode(&bytes[..end]), Ok(order.clone()), "{end}");
            }
        }
        let other = Order::decode(b"4:0000").expect_err("another build");
        assert!(other.contains("install both from the same build"), "{other}");
    }
}
