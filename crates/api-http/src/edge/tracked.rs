//! An answer's body, handed over in pieces; while it lasts, its connection is not idle.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use actix_web::{
    body::{BodySize, MessageBody},
    web::Bytes,
};

use super::{PIECE, connections::Answering};

/// The body of an answer.
pub(crate) struct Tracked<B> {
    body: Pin<Box<B>>,
    rest: Bytes,
    _answering: Option<Answering>,
}

impl<B> Tracked<B> {
    pub(crate) fn new(body: B, answering: Option<Answering>) -> Self {
        Self { body: Box::pin(body), rest: Bytes::new(), _answering: answering }
    }
}

impl<B: MessageBody> MessageBody for Tracked<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = self.get_mut();
        while this.rest.is_empty() {
            match ready!(this.body.as_mut().poll_next(cx)) {
                Some(Ok(piece)) => this.rest = piece,
                end => return Poll::Ready(end),
            }
        }
        let piece = this.rest.split_to(this.rest.len().min(PIECE));
        Poll::Ready(Some(Ok(piece)))
    }
}
