//! DNS (RFC 1035): a question, and whether its answer has what was asked for.

use domain::base::iana::{Class, Rcode, Rtype};
use domain::base::{Message, MessageBuilder, Name, ParsedName};
use geminus_core::health::{Fault, FaultKind, Good};
use geminus_core::model::DnsRecord;

use crate::lines::ended;
use crate::messages::{ByMessage, Framed, Read};
use crate::words::{fault, told};
use crate::{Conversation, Step};

/// The head of a message.
const HEAD: usize = 12;
/// So much of an answer over TCP is read: records that were asked for come first.
const READ: usize = 4 * 1_024;

/// A question.
struct Question {
    id: u16,
    name: Name<Vec<u8>>,
    record: Rtype,
}

/// What a message is to a question.
enum Answer {
    /// It answers another question: one that was given up, or nobody's.
    Other,
    /// It answers it.
    Ours(Result<Good, Fault>),
}

impl Question {
    fn new(name: &str, record: DnsRecord, nonce: u64) -> Self {
        let record = match record {
            DnsRecord::A => Rtype::A,
            DnsRecord::Aaaa => Rtype::AAAA,
            DnsRecord::Mx => Rtype::MX,
            DnsRecord::Txt => Rtype::TXT,
            DnsRecord::Ns => Rtype::NS,
            DnsRecord::Soa => Rtype::SOA,
        };
        // The configuration takes only names that can be asked for; for any other the root, which has none of these
        // but name servers, is no worse a question.
        let name = Name::vec_from_str(name).unwrap_or_else(|_| Name::root_vec());
        let [low, high, ..] = nonce.to_le_bytes();
        Self { id: u16::from_le_bytes([low, high]), name, record }
    }

    fn message(&self) -> Vec<u8> {
        let mut message = MessageBuilder::new_vec();
        message.header_mut().set_id(self.id);
        message.header_mut().set_rd(true);
        let mut message = message.question();
        message.push((&self.name, self.record)).expect("a question is shorter than any message may be");
        message.finish()
    }

    fn awaits(&self) -> String {
        format!("{} of {}", self.record, self.name)
    }

    fn answer(&self, bytes: &[u8]) -> Answer {
        let garbage = |what: &str| Answer::Ours(Err(told(FaultKind::Garbage, &self.awaits(), what)));
        let Ok(message) = Message::from_octets(bytes) else {
            return Answer::Ours(Err(fault(FaultKind::Garbage, &self.awaits(), bytes)));
        };
        let header = message.header();
        if header.id() != self.id {
            return Answer::Other;
        }
        if !header.qr() {
            return garbage("a question");
        }
        // A server that cannot read a question need not repeat it.
        let repeated = message.header_counts().qdcount() > 0;
        if repeated || header.rcode() == Rcode::NOERROR {
            match message.sole_question() {
                Ok(found) if self.is(&found) => {}
                Ok(_) => return garbage("the answer to another question"),
                Err(_) => return garbage("no question in the answer"),
            }
        }
        if header.rcode() != Rcode::NOERROR {
            let rcode = header.rcode().to_string();
            return Answer::Ours(Err(told(FaultKind::Unexpected, &self.awaits(), &rcode)));
        }
        // What does not fit is fetched over TCP by who needs it; that there is some is answer enough.
        if header.tc() || self.is_in(&message) {
            return Answer::Ours(Ok(Good::default()));
        }
        let got = format!("{} other records", message.header_counts().ancount());
        Answer::Ours(Err(told(FaultKind::Unexpected, &self.awaits(), &got)))
    }

    fn is(&self, other: &domain::base::Question<ParsedName<&[u8]>>) -> bool {
        *other.qname() == self.name && other.qtype() == self.record && other.qclass() == Class::IN
    }

    /// Whether an answer has a record of the type, or an alias for it.
    fn is_in(&self, message: &Message<&[u8]>) -> bool {
        let Ok(answer) = message.answer() else { return false };
        let mut found = answer.map_while(Result::ok);
        found.any(|record| [self.record, Rtype::CNAME].contains(&record.rtype()))
    }
}

/// Over UDP.
pub(crate) struct OverUdp(Question);

impl OverUdp {
    pub(crate) fn new(name: &str, record: DnsRecord, nonce: u64) -> Self {
        Self(Question::new(name, record, nonce))
    }
}

impl Conversation for OverUdp {
    fn begin(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.message());
    }

    fn hear(&mut self, bytes: &[u8], _: &mut Vec<u8>) -> Step {
        match self.0.answer(bytes) {
            Answer::Other => Step::More,
            Answer::Ours(outcome) => Step::Done(outcome),
        }
    }

    fn closed(&mut self) -> Result<Good, Fault> {
        Err(ended(&self.0.awaits(), b""))
    }

    fn awaits(&self) -> String {
        self.0.awaits()
    }
}

/// Over TCP: each message has its length before it (RFC 1035 section 4.2.2).
pub(crate) struct OverTcp(Question);

impl OverTcp {
    pub(crate) fn conversation(name: &str, record: DnsRecord, nonce: u64) -> ByMessage<Self> {
        ByMessage::new(Self(Question::new(name, record, nonce)))
    }
}

impl Framed for OverTcp {
    fn begin(&mut self, out: &mut Vec<u8>) {
        let message = self.0.message();
        let length = u16::try_from(message.len()).expect("a question is shorter than any message may be");
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&message);
    }

    fn awaits(&self) -> String {
        self.0.awaits()
    }

    fn message(&mut self, bytes: &[u8], _: &mut Vec<u8>) -> Read {
        let Some((length, message)) = bytes.split_first_chunk::<2>() else { return Read::Need(2) };
        let length = usize::from(u16::from_be_bytes(*length));
        if length < HEAD {
            return fault(FaultKind::Garbage, &self.awaits(), bytes).into();
        }
        let read = length.min(READ);
        if message.len() < read {
            return Read::Need(2 + read);
        }
        match self.0.answer(message) {
            Answer::Other => fault(FaultKind::Garbage, &self.awaits(), bytes).into(),
            Answer::Ours(outcome) => Read::Done(outcome),
        }
    }
}
