//! expo_push_notification_client, the Rust client that Expo lists.

use std::{env::var, time::Duration};

use expo_push_notification_client::{
    DetailsErrorType, Expo, ExpoPushMessage, ExpoPushReceipt, ExpoPushReceiptId, ExpoPushTicket,
};
use serde_json::json;

type Passed<T> = Result<T, String>;

struct Client {
    expo: Expo,
    ios: String,
    android: String,
    unknown: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let client = Client {
        expo: Expo::new_with_base_url(None, &var("GATEWAY_URL").unwrap()),
        ios: var("TOKEN_IOS").unwrap(),
        android: var("TOKEN_ANDROID").unwrap(),
        unknown: var("TOKEN_UNKNOWN").unwrap(),
    };
    let tickets = client.tickets().await;
    let ids = tickets.clone().unwrap_or_default();
    let receipts = client.receipts(ids).await;
    let errors = client.errors().await;
    let line = json!({
        "version": "2.1.0",
        "tickets": shown(tickets.map(drop)),
        "receipts": shown(receipts),
        "errors": shown(errors),
    });
    println!("{line}");
}

fn shown(passed: Passed<()>) -> String {
    passed.map(|()| "ok".to_string()).unwrap_or_else(|error| error)
}

fn text(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

impl Client {
    async fn tickets(&self) -> Passed<Vec<ExpoPushReceiptId>> {
        // The first goes out as a bare object, the two after it as a compressed array.
        let one = self.message(&[&self.ios, &self.android], "Hello")?;
        let mut tickets = self.expo.send_push_notifications(one).await.map_err(text)?;
        let two = vec![self.message(&[&self.ios], &"x".repeat(1200))?, self.message(&[&self.android], "Hello")?];
        tickets.extend(self.expo.send_push_notifications(two).await.map_err(text)?);
        let ids: Vec<_> = tickets.iter().filter_map(|ticket| match ticket {
            ExpoPushTicket::Ok(ok) => Some(ok.id.clone()),
            ExpoPushTicket::Error(_) => None,
        }).collect();
        if ids.len() == 4 { Ok(ids) } else { Err(text(tickets)) }
    }

    async fn receipts(&self, ids: Vec<ExpoPushReceiptId>) -> Passed<()> {
        let found = self.settled(ids).await?;
        if found.iter().all(|receipt| matches!(receipt, ExpoPushReceipt::Ok)) { Ok(()) } else { Err(text(found)) }
    }

    async fn errors(&self) -> Passed<()> {
        let unknown = self.message(&[&self.unknown], "Hello")?;
        let tickets = self.expo.send_push_notifications(unknown).await.map_err(text)?;
        let is_unknown = |ticket: &ExpoPushTicket| matches!(ticket, ExpoPushTicket::Error(error)
            if error.details.as_ref().and_then(|details| details.error.clone()) == Some(DetailsErrorType::DeviceNotRegistered));
        if !tickets.iter().all(is_unknown) { return Err(text(tickets)); }

        let big = self.message(&[&self.ios], &"x".repeat(5000))?;
        let tickets = self.expo.send_push_notifications(big).await.map_err(text)?;
        let [ExpoPushTicket::Ok(ok)] = tickets.as_slice() else { return Err(text(tickets)) };
        let found = self.settled(vec![ok.id.clone()]).await?;
        let [ExpoPushReceipt::Error(error)] = found.as_slice() else { return Err(text(found)) };
        if error.details.as_ref().and_then(|details| details.error.clone()) != Some(DetailsErrorType::MessageTooBig) {
            return Err(text(error));
        }

        // It counts messages and not recipients: two messages for 51 recipients each are refused as a whole.
        let many: Vec<&str> = vec![&self.ios; 51];
        let refused = self.expo.send_push_notifications(vec![self.message(&many, "a")?, self.message(&many, "b")?]).await;
        if refused.is_err() { Ok(()) } else { Err("102 recipients were accepted".to_string()) }
    }

    fn message(&self, to: &[&str], body: &str) -> Passed<ExpoPushMessage> {
        ExpoPushMessage::builder(to.iter().map(|token| token.to_string())).body(body).build().map_err(text)
    }

    async fn settled(&self, ids: Vec<ExpoPushReceiptId>) -> Passed<Vec<ExpoPushReceipt>> {
        for _ in 0..100 {
            let found = self.expo.get_push_notification_receipts(ids.clone()).await.map_err(text)?;
            if found.len() == ids.len() { return Ok(found.into_values().collect()); }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err("no receipts after 10 seconds".to_string())
    }
}
