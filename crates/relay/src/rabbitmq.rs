//! RabbitMQ, as Glance tells it: AMQP 0-9-1, a topic exchange, a queue for notifications.

mod transport;

use std::{sync::Arc, time::Duration};

use core_domain::outbox::Delivery;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ExchangeKind,
    options::{
        BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions,
        QueueDeclareOptions,
    },
    types::{AMQPValue, FieldTable},
    uri::{AMQPScheme, AMQPUri},
};
use rustls::ClientConfig;
use tokio::{runtime::Runtime, time::timeout};

use self::transport::Plug;
use crate::{
    Invalid,
    background::runtime,
    notification,
    secret::Secret,
    sink::{Failure, Sink, Time, Told},
    text,
};

/// Published at a time, before the first confirm is waited for.
const MOST: usize = 64;
/// What a message is; oslo.messaging reads no other.
const CONTENT_TYPE: &str = "application/json";
const CONTENT_ENCODING: &str = "utf-8";
/// On the disk before it is confirmed, if its queue is durable.
const PERSISTENT: u8 = 2;

/// What kind of queue and exchange is made if there is none yet; it must be what the listeners declare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Queues {
    /// They last: `amqp_durable_queues = true` in the listeners' oslo.messaging.
    #[default]
    Durable,
    /// They last and are kept on several nodes: `rabbit_quorum_queue = true`.
    Quorum,
    /// They go with the broker: neither, which is oslo.messaging's default. What waits in them is lost with it.
    Transient,
}

/// A broker.
pub struct Rabbitmq {
    /// Its nodes, the next to be tried first.
    nodes: Vec<AMQPUri>,
    /// `None`: no node speaks TLS.
    tls: Option<Arc<ClientConfig>>,
    exchange: String,
    /// `TOPIC.info`: the routing key, and the queue.
    queue: String,
    queues: Queues,
    publisher_id: String,
    link: Option<Link>,
    runtime: Runtime,
}

/// An open connection.
struct Link {
    connection: Connection,
    channel: Channel,
    plug: Plug,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.plug.pull();
    }
}

impl Rabbitmq {
    /// A broker at these addresses, one for each of its nodes.
    ///
    /// # Errors
    /// An address that is none, or a file without certificates.
    pub fn new(urls: &Secret, authorities: Option<&[u8]>, publisher_id: &str) -> Result<Self, Invalid> {
        let nodes = nodes(urls)?;
        // The system's authorities, which a bare container does not have, are for those who need them.
        let is_secure = nodes.iter().any(|node| node.scheme == AMQPScheme::AMQPS);
        let tls = if is_secure { Some(Arc::new(transport::tls(authorities)?)) } else { None };
        let runtime =
            runtime("rabbitmq").map_err(|error| Invalid(format!("no thread can be started: {error}")))?;
        Ok(Self {
            nodes,
            tls,
            exchange: "glance".to_owned(),
            queue: "notifications.info".to_owned(),
            queues: Queues::default(),
            publisher_id: publisher_id.to_owned(),
            link: None,
            runtime,
        })
    }

    /// Whether these can be addresses of a broker.
    ///
    /// # Errors
    /// They cannot.
    pub fn check(urls: &Secret) -> Result<(), Invalid> {
        nodes(urls).map(drop)
    }

    /// Through this exchange, not `glance`.
    #[must_use]
    pub fn exchange(self, exchange: &str) -> Self {
        Self { exchange: exchange.to_owned(), ..self }
    }

    /// With this topic, not `notifications`.
    #[must_use]
    pub fn topic(self, topic: &str) -> Self {
        Self { queue: format!("{topic}.info"), ..self }
    }

    /// Makes such queues.
    #[must_use]
    pub fn queues(self, queues: Queues) -> Self {
        Self { queues, ..self }
    }

    /// A channel on which everything is confirmed, to an exchange and a queue that are there.
    async fn link(&self, plug: Plug) -> Result<Link, lapin::Error> {
        // There is one at least.
        let node = self.nodes.first().cloned().unwrap_or_default();
        let tls = self.tls.clone().filter(|_| node.scheme == AMQPScheme::AMQPS);
        let properties = ConnectionProperties::default().with_connection_name("vitrine".into());
        let connection = transport::connect(node, tls, plug.clone(), properties).await?;
        let channel = self.declared(&connection).await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Link { connection, channel, plug })
    }

    /// A channel. What is there is used, whatever it is made like; what is not is made, so that nothing is dropped before
    /// the first listener comes.
    async fn declared(&self, connection: &Connection) -> Result<Channel, lapin::Error> {
        let durable = self.queues != Queues::Transient;
        let mut channel = connection.create_channel().await?;
        let exchange = || self.exchange.as_str().into();
        let looked = ExchangeDeclareOptions { passive: true, ..Default::default() };
        let is_there =
            channel.exchange_declare(exchange(), ExchangeKind::Topic, looked, FieldTable::default()).await;
        if is_there.is_err() {
            // The broker closes a channel on which something was looked for in vain.
            channel = connection.create_channel().await?;
            let made = ExchangeDeclareOptions { durable, ..Default::default() };
            channel.exchange_declare(exchange(), ExchangeKind::Topic, made, FieldTable::default()).await?;
        }
        let queue = || self.queue.as_str().into();
        let looked = QueueDeclareOptions { passive: true, ..Default::default() };
        if channel.queue_declare(queue(), looked, FieldTable::default()).await.is_err() {
            channel = connection.create_channel().await?;
            let made = QueueDeclareOptions { durable, ..Default::default() };
            let mut arguments = FieldTable::default();
            if self.queues == Queues::Quorum {
                arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
            }
            channel.queue_declare(queue(), made, arguments).await?;
        }
        let bound = QueueBindOptions::default();
        channel.queue_bind(queue(), exchange(), queue(), bound, FieldTable::default()).await?;
        Ok(channel)
    }

    /// Publishes these and waits for their confirms.
    async fn publish(&self, channel: &Channel, deliveries: &[Delivery], time: Time) -> Told {
        let mut told = Told::nothing(None);
        let mut confirms = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            if time.is_up() {
                break;
            }
            let message = notification::message(delivery, &self.publisher_id);
            told.tried += 1;
            let published = channel.basic_publish(
                self.exchange.as_str().into(),
                self.queue.as_str().into(),
                BasicPublishOptions { mandatory: true, ..Default::default() },
                &message,
                BasicProperties::default()
                    .with_content_type(CONTENT_TYPE.into())
                    .with_content_encoding(CONTENT_ENCODING.into())
                    .with_delivery_mode(PERSISTENT)
                    .with_priority(0),
            );
            match in_time(time.left(), published).await {
                Ok(confirm) => confirms.push(confirm),
                Err(why) => {
                    told.failure = Some(Failure::Away(why));
                    break;
                }
            }
        }
        for confirm in confirms {
            let why = match in_time(time.left(), confirm).await {
                Ok(Confirmation::Ack(None)) => {
                    told.done += 1;
                    continue;
                }
                Ok(Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_))) => {
                    format!("no queue is bound to the exchange {} for {}", self.exchange, self.queue)
                }
                Ok(Confirmation::Nack(None)) => "the broker refused the message".to_owned(),
                Ok(Confirmation::NotRequested) => "the broker does not confirm messages".to_owned(),
                Err(why) => why,
            };
            told.failure = Some(Failure::Away(why));
            break;
        }
        told
    }

    /// A link to the next node that answers in time.
    fn connect(&mut self, time: Time) -> Result<Link, String> {
        let plug = Plug::default();
        let link = self.runtime.block_on(in_time(time.left(), self.link(plug.clone())));
        if link.is_err() {
            plug.pull();
            self.nodes.rotate_left(1);
        }
        link
    }

    fn let_go(&mut self) {
        if let Some(link) = self.link.take() {
            // Politely, if the broker still listens.
            let closed = link.connection.close(200, "done".into());
            let _ = self.runtime.block_on(async { timeout(Duration::from_millis(250), closed).await });
        }
    }
}

impl Sink for Rabbitmq {
    fn name(&self) -> &'static str {
        "rabbitmq"
    }

    fn most(&self) -> usize {
        MOST
    }

    fn prepare(&mut self, time: Time) -> Result<(), String> {
        if self.link.as_ref().is_some_and(|link| !link.channel.status().connected()) {
            self.let_go();
        }
        if self.link.is_none() {
            self.link = Some(self.connect(time)?);
        }
        Ok(())
    }

    fn tell(&mut self, deliveries: &[Delivery], time: Time) -> Told {
        if let Err(why) = self.prepare(time) {
            return Told::nothing(Some(Failure::Away(why)));
        }
        let Some(link) = &self.link else { return Told::nothing(None) };
        let told = self.runtime.block_on(self.publish(&link.channel, deliveries, time));
        if told.failure.is_some() {
            // Nobody knows what the broker still makes of this channel.
            self.let_go();
        }
        told
    }

    fn rest(&mut self) {
        self.let_go();
    }
}

fn nodes(urls: &Secret) -> Result<Vec<AMQPUri>, Invalid> {
    // What is wrong with one is not repeated: it may be the password.
    let wrong = || Invalid("must be an address such as amqps://user:password@host:5671/vhost".to_owned());
    let nodes: Vec<AMQPUri> = urls
        .reveal()
        .split_whitespace()
        .map(|url| if url.contains("://") { url.parse().map_err(|_| wrong()) } else { Err(wrong()) })
        .collect::<Result<_, _>>()?;
    if nodes.is_empty() { Err(wrong()) } else { Ok(nodes) }
}

/// What came of it, or why nothing did.
async fn in_time<T>(
    limit: Duration,
    doing: impl Future<Output = Result<T, lapin::Error>>,
) -> Result<T, String> {
    // `timeout` wants a timer, which is there only inside.
    match timeout(limit, doing).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(text::reasons(&error)),
        Err(_) => Err("the broker does not answer in time".to_owned()),
    }
}

impl std::fmt::Debug for Rabbitmq {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rabbitmq")
            .field("exchange", &self.exchange)
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}
