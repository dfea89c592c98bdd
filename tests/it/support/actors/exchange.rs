//! What the operator and compliance officers do.

use corpex::error::Result;
use serde_json::{Value, json};

use super::{Actor, Published, cny};

impl Actor {
    /// The operator verifies an organisation.
    pub async fn verify(&self, handle: &str) {
        let _: Value = self.client.post(format!("/v1/organisations/{handle}/verification")).send().await.unwrap();
    }

    /// The operator records a deposit.
    pub async fn deposit(&self, handle: &str, fen: i64, reference: &str) -> Value {
        self.effect("/v1/deposits", &json!({ "organisation": handle, "amount": cny(fen), "reference": reference }))
            .await
            .unwrap()
    }

    /// A compliance officer finds everything in order.
    pub async fn assess(&self, published: &Published) -> Value {
        self.assess_for(published, 365).await
    }

    /// The same, for some days.
    pub async fn assess_for(&self, published: &Published, days: u32) -> Value {
        let items: Value = self.get("/v1/checklist").await.unwrap();
        let checklist: Vec<Value> = items["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| json!({ "key": item["key"], "finding": "compliant", "evidence": [] }))
            .collect();
        let assessment = json!({ "checklist": checklist, "decision": "passed", "valid_days": days });
        self.post(format!("{}/assessments", published.path()), &assessment).await.unwrap()
    }

    /// Decides a dispute for the exchange: at `decision` or `appeal/decision`, for `buyer`, `provider` or `split`.
    pub async fn decide_dispute(&self, order: &str, step: &str, outcome: &str, fen: Option<i64>) -> Result<Value> {
        let refund = fen.map(cny);
        let decision = json!({ "outcome": outcome, "refund": refund, "reason": "so we found" });
        self.effect(format!("/v1/orders/{order}/dispute/{step}"), &decision).await
    }

    /// Compliance takes a case a step further.
    pub async fn decide(&self, case: &str, step: &str) -> Result<Value> {
        let why = json!({ "reason": format!("{step}, for good reasons") });
        self.effect(format!("/v1/takedowns/{case}/{step}"), &why).await
    }
}
