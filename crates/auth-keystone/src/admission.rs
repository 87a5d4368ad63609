//! Whether a token is good for the call it is shown for, and what a service's token beside it changes.

use std::sync::Arc;

use core_domain::{
    caller::Caller,
    tokens::{Intent, Shown},
};

use crate::{
    cache::Memory,
    known::{End, Known},
    outage::Outage,
    validation::{Decision, Refusal, Subject, Validator},
};

/// What comes of showing a token.
pub(crate) type Admission = Result<Arc<Caller>, Refusal>;

impl Validator {
    /// What memory alone can tell of a token that nobody else vouches for; `None` if Keystone has to be asked.
    pub(crate) fn admit_from_memory(
        self: &Arc<Self>,
        subject: &Subject<'_>,
        shown: &Shown<'_>,
    ) -> Option<Admission> {
        let decision = self.remembered(subject, shown.into())?;
        Some(decision.and_then(|known| self.allowed(&known, shown)))
    }

    /// What Keystone tells of it, or told a while ago if it cannot be asked now.
    pub(crate) async fn admit(self: &Arc<Self>, subject: &Subject<'_>, shown: &Shown<'_>) -> Admission {
        let known = self.ask_or_recall(subject, shown).await?;
        self.allowed(&known, shown)
    }

    /// The same for a token that a service shows together with one of its own. That has to be good, too, whatever the
    /// other is; then the other may have ended, and is good for every call, for a service's call follows from one that
    /// was allowed.
    pub(crate) async fn admit_for_service(
        self: &Arc<Self>,
        service_token: &str,
        shown: &Shown<'_>,
    ) -> Admission {
        let service = self.subject(service_token, End::Counts).ok_or(Refusal::Rejected)?;
        let service = match self.remembered(&service, shown.into()) {
            Some(decision) => decision?,
            None => self.ask(&service, shown.into()).await?,
        };
        if !self.service_roles.iter().any(|role| service.caller.has_role(role)) {
            self.metrics.not_services.add();
            return Err(Refusal::Rejected);
        }
        self.allowed(&service, shown)?;

        let subject = self.subject(shown.token, End::Counts).ok_or(Refusal::Rejected)?;
        if let Memory::Good { known, due } = self.cache.recall(&subject.digest, subject.end, &self.time) {
            self.used(&subject, due, shown.into());
            return Ok(Arc::clone(&known.caller));
        }
        let subject = self.subject(shown.token, End::Waived).ok_or(Refusal::Rejected)?;
        let known = match self.remembered(&subject, shown.into()) {
            Some(decision) => decision?,
            None => self.ask_or_recall(&subject, shown).await?,
        };
        Ok(Arc::clone(&known.caller))
    }

    /// Asks. If nobody can be asked, who only wants to look is let in on Keystone's last word.
    async fn ask_or_recall(self: &Arc<Self>, subject: &Subject<'_>, shown: &Shown<'_>) -> Decision {
        let outage = match self.ask(subject, shown.into()).await {
            Err(Refusal::Undecided(outage)) if outage.lets_the_old_word_stand() => outage,
            decided => return decided,
        };
        self.old_word(subject, shown, &outage).ok_or(Refusal::Undecided(outage))
    }

    fn old_word(&self, subject: &Subject<'_>, shown: &Shown<'_>, outage: &Outage) -> Option<Arc<Known>> {
        if shown.intent != Intent::Look {
            return None;
        }
        let known = self.cache.stale(&subject.digest, subject.end, &self.time)?;
        self.metrics.stale.add();
        if self.stale_noted.is_time(self.time.steady()) {
            tracing::warn!(
                error = %outage,
                request = shown.request,
                "Keystone cannot be asked: who was known a while ago may look, until keystone.stale_reads is over"
            );
        }
        Some(known)
    }

    /// Holds a call against the access rules of the token, if it has any.
    fn allowed(&self, known: &Known, shown: &Shown<'_>) -> Admission {
        if known.allows(shown.method, shown.path) {
            return Ok(Arc::clone(&known.caller));
        }
        self.metrics.outside_access_rules.add();
        tracing::info!(
            audit_ids = ?known.audit_ids(),
            method = shown.method,
            request = shown.request,
            "refused a call that the access rules of the token's application credential do not list"
        );
        Err(Refusal::Rejected)
    }
}
