//! The body of a list: `{"images":[…],…}`, written a chunk at a time while it is sent. What is sent is dropped, and its memory
//! given back to the budget. An answer with one large item is sent in the same way.

use std::{
    pin::Pin,
    task::{Context, Poll},
    vec::IntoIter,
};

use actix_web::{
    HttpResponse, HttpResponseBuilder,
    body::{BodySize, MessageBody},
    http::header,
    web::Bytes,
};
use core_domain::Error;
use serde::Serialize;

use crate::{
    budget::{OVERHEAD_BYTES, Share},
    error::ApiError,
};

/// What is written at once, in bytes, and the rest of the item with which it gets there.
const CHUNK_BYTES: usize = 64 << 10;
/// Room for the text of a list of few items, in bytes.
const LEAST_BYTES: usize = 512;
/// What is handed over at once: a connection takes more as soon as it holds less than this.
const SLICE_BYTES: usize = 32 << 10;

/// Something that lists are made of.
pub(crate) trait Item: Unpin + 'static {
    /// What it takes in memory, in bytes, at most.
    fn memory_bytes(&self) -> usize;

    /// Appends its JSON.
    ///
    /// # Errors
    /// What cannot be said in JSON.
    fn write(self, json: &mut Vec<u8>) -> serde_json::Result<()>;
}

/// An answer with a list: `name` is the key of its items, `rest` an object with what comes after them.
///
/// # Errors
/// What cannot be said in JSON.
pub(crate) fn list<T: Item, R: Serialize>(
    name: &str,
    items: Vec<T>,
    rest: &R,
    share: Share,
) -> Result<HttpResponse, ApiError> {
    let held: usize = items.iter().map(Item::memory_bytes).sum();
    let rest = serde_json::to_vec(rest).map_err(unwritable)?;
    let mut tail = if rest == b"{}" { b"]".to_vec() } else { b"],".to_vec() };
    tail.extend_from_slice(&rest[1..]);
    let mut written = Vec::with_capacity(held.clamp(LEAST_BYTES, CHUNK_BYTES));
    written.extend_from_slice(format!("{{\"{name}\":[").as_bytes());
    let mut body = ListBody {
        items: items.into_iter(),
        is_first: true,
        tail: Some(tail),
        written,
        chunk: Bytes::new(),
        spent: 0,
        size: BodySize::Stream,
        share,
    };
    body.fill().map_err(unwritable)?;
    if body.is_written() {
        // An ordinary page: its length can be told, and its records are dropped already.
        body = ListBody::whole(body.chunk, body.share);
    } else {
        body.share.keep(held + OVERHEAD_BYTES);
    }
    Ok(HttpResponse::Ok().insert_header((header::CONTENT_TYPE, "application/json; charset=UTF-8")).body(body))
}

/// An answer with one item, which takes part in the budget as a list does.
///
/// # Errors
/// What cannot be said in JSON.
pub(crate) fn one<T: Item>(
    mut response: HttpResponseBuilder,
    item: T,
    share: Share,
) -> Result<HttpResponse, ApiError> {
    let mut text = Vec::with_capacity(item.memory_bytes());
    item.write(&mut text).map_err(unwritable)?;
    // A vector may have room for twice as much.
    let body = ListBody::<T>::whole(Bytes::from(text.into_boxed_slice()), share);
    Ok(response.insert_header((header::CONTENT_TYPE, "application/json; charset=UTF-8")).body(body))
}

fn unwritable(error: serde_json::Error) -> ApiError {
    Error::Internal(Box::new(error)).into()
}

struct ListBody<T> {
    items: IntoIter<T>,
    is_first: bool,
    /// What comes after the items, until it is written.
    tail: Option<Vec<u8>>,
    written: Vec<u8>,
    /// What is being handed over.
    chunk: Bytes,
    /// What the items took whose text is in the chunk.
    spent: usize,
    size: BodySize,
    share: Share,
}

impl<T: Item> ListBody<T> {
    /// Of which all is written.
    fn whole(text: Bytes, mut share: Share) -> Self {
        share.keep(text.len());
        Self {
            items: Vec::new().into_iter(),
            is_first: false,
            tail: None,
            written: Vec::new(),
            size: BodySize::Sized(text.len() as u64),
            chunk: text,
            spent: 0,
            share,
        }
    }

    fn is_written(&self) -> bool {
        self.tail.is_none()
    }

    /// Writes the next chunk.
    fn fill(&mut self) -> serde_json::Result<()> {
        while self.written.len() < CHUNK_BYTES {
            let Some(item) = self.items.next() else {
                self.written.extend(self.tail.take().into_iter().flatten());
                break;
            };
            // Its place among the others is kept until the last of them is gone.
            self.spent += item.memory_bytes().saturating_sub(size_of::<T>());
            if !self.is_first {
                self.written.push(b',');
            }
            self.is_first = false;
            item.write(&mut self.written)?;
        }
        self.chunk = Bytes::from(std::mem::take(&mut self.written));
        Ok(())
    }
}

impl<T: Item> MessageBody for ListBody<T> {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let body = self.get_mut();
        if body.chunk.is_empty() {
            body.share.give_back(std::mem::take(&mut body.spent));
            if body.is_written() {
                return Poll::Ready(None);
            }
            if let Err(error) = body.fill() {
                return Poll::Ready(Some(Err(error.into())));
            }
        }
        let length = body.chunk.len().min(SLICE_BYTES);
        Poll::Ready(Some(Ok(body.chunk.split_to(length))))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use core_domain::limits::PAGE_BYTES;
    use prometheus::IntGauge;
    use serde_json::json;

    use super::*;
    use crate::budget::Budget;

    struct Text(String);

    impl Item for Text {
        fn memory_bytes(&self) -> usize {
            size_of::<Self>() + self.0.len()
        }

        fn write(self, json: &mut Vec<u8>) -> serde_json::Result<()> {
            serde_json::to_writer(json, &self.0)
        }
    }

    /// The body of a list of texts, in the pieces in which it was handed over, each with what was held then.
    async fn sent(texts: &[String], rest: serde_json::Value) -> (BodySize, Vec<(Bytes, i64)>, i64) {
        let held = IntGauge::new("held", "held").unwrap();
        let share = Budget::of_lists(held.clone()).take(None, PAGE_BYTES).await.unwrap();
        let items = texts.iter().cloned().map(Text).collect();
        let mut body = list("texts", items, &rest, share).unwrap().into_body();
        let size = body.size();
        let mut pieces = Vec::new();
        while let Some(piece) = poll_fn(|cx| Pin::new(&mut body).poll_next(cx)).await {
            pieces.push((piece.unwrap(), held.get()));
        }
        drop(body);
        (size, pieces, held.get())
    }

    fn whole(pieces: &[(Bytes, i64)]) -> String {
        pieces.iter().map(|(piece, _)| str::from_utf8(piece).unwrap()).collect()
    }

    #[tokio::test]
    async fn a_list_reads_as_if_it_was_written_at_once() {
        let fat = vec!["x".repeat(50_000); 30];
        for (texts, rest, tail) in [
            (vec![], json!({}), "]}"),
            (vec!["a".to_owned()], json!({}), "]}"),
            (vec!["a".to_owned(), "b\"".to_owned()], json!({"next": "/n"}), r#"],"next":"/n"}"#),
            (fat, json!({"next": "/n"}), r#"],"next":"/n"}"#),
        ] {
            let (size, pieces, left) = sent(&texts, rest).await;
            let items: Vec<String> = texts.iter().map(|text| json!(text).to_string()).collect();
            let expected = format!("{{\"texts\":[{}{tail}", items.join(","));
            assert_eq!(whole(&pieces), expected);
            let is_small = expected.len() < CHUNK_BYTES;
            assert_eq!(
                size,
                if is_small { BodySize::Sized(expected.len() as u64) } else { BodySize::Stream }
            );
            assert!(pieces.iter().all(|(piece, _)| !piece.is_empty() && piece.len() <= SLICE_BYTES));
            assert_eq!(left, 0);
        }
    }

    #[tokio::test]
    async fn memory_is_given_back_as_the_list_is_sent() {
        let texts = vec!["x".repeat(50_000); 40];
        let (_, pieces, left) = sent(&texts, json!({})).await;
        let total: usize = 40 * (50_000 + size_of::<Text>()) + OVERHEAD_BYTES;
        assert_eq!(pieces[0].1, i64::try_from(total).unwrap());
        assert!(pieces.is_sorted_by(|a, b| a.1 >= b.1));
        let mut unsent = whole(&pieces).len();
        for (piece, held) in &pieces {
            unsent -= piece.len();
            // At any moment what is held is what is yet to be sent, the chunk that is being sent, and what is fixed.
            let most = unsent + 2 * (CHUNK_BYTES + 50_000) + OVERHEAD_BYTES + 40 * size_of::<Text>();
            assert!(usize::try_from(*held).unwrap() <= most, "{held} of {most}");
            assert!(usize::try_from(*held).unwrap() >= unsent, "{held} for {unsent}");
        }
        assert_eq!(left, 0);
    }

    #[tokio::test]
    async fn one_item_is_held_until_it_is_sent() {
        let held = IntGauge::new("held", "held").unwrap();
        let share = Budget::of_large_images(held.clone()).take(None, 1 << 20).await.unwrap();
        let text = "\"".repeat(100_000);
        let mut body = one(HttpResponse::Ok(), Text(text.clone()), share).unwrap().into_body();
        let written = serde_json::to_string(&text).unwrap();
        assert_eq!(body.size(), BodySize::Sized(written.len() as u64));
        let mut sent = Vec::new();
        while let Some(piece) = poll_fn(|cx| Pin::new(&mut body).poll_next(cx)).await {
            sent.extend_from_slice(&piece.unwrap());
            assert_eq!(usize::try_from(held.get()).unwrap(), written.len());
        }
        assert_eq!(sent, written.as_bytes());
        drop(body);
        assert_eq!(held.get(), 0);
    }

    #[tokio::test]
    async fn a_body_that_is_dropped_gives_all_back() {
        let held = IntGauge::new("held", "held").unwrap();
        let share = Budget::of_lists(held.clone()).take(None, PAGE_BYTES).await.unwrap();
        let items = vec!["x".repeat(50_000); 40].into_iter().map(Text).collect();
        let mut body = list("texts", items, &json!({}), share).unwrap().into_body();
        poll_fn(|cx| Pin::new(&mut body).poll_next(cx)).await.unwrap().unwrap();
        assert!(held.get() > 40 * 50_000);
        drop(body);
        assert_eq!(held.get(), 0);
    }
}
