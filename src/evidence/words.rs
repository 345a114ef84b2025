//! Kinds, fields and values of entries in Chinese and English. What has no word here is shown as it stands in the entry.

use tacitly_attestation::entry::Kind;

/// Chinese and English of one thing.
pub(super) type Words = (&'static str, &'static str);

pub(super) const TIME: Words = ("一、时间", "1. Time");
pub(super) const PLACE: Words = ("二、地点", "2. Place");
pub(super) const PERSON: Words = ("三、人物", "3. Person");
pub(super) const BEFORE: Words = ("四、事前", "4. Before");
pub(super) const DURING: Words = ("五、事中", "5. During");
pub(super) const AFTER: Words = ("六、事后", "6. After");

/// What an entry of this kind says.
pub(super) fn kind(kind: Kind) -> Words {
    match kind {
        Kind::Party => ("参与方登记", "Party: who takes part"),
        Kind::Policy => ("共同规则", "Policy: the consortium's rules"),
        Kind::Revocation => ("密钥吊销", "Revocation: a key that is not to be trusted any more"),
        Kind::Dataset => ("数据集指纹", "Dataset: its fingerprint"),
        Kind::Agreement => ("各方约定", "Agreement: what all parties agreed"),
        Kind::Query => ("查询请求", "Query: what was asked"),
        Kind::Serve => ("查询应答", "Serve: that it was answered"),
        Kind::Statement => ("任务陈述", "Statement: in the words of its kind of job"),
        Kind::Result => ("任务结果", "Result: what came of the job"),
        Kind::Contribution => ("贡献统计", "Contribution: who provided how much"),
        Kind::Settlement => ("结算", "Settlement: who pays whom"),
        Kind::Dispute => ("争议", "Dispute: an objection"),
        Kind::Opening => ("披露记录", "Opening: that a record was shown"),
        Kind::Erasure => ("销毁记录", "Erasure: what was destroyed"),
        Kind::Anchor => ("区块链锚定", "Anchor: where the log was anchored"),
        Kind::Tick => ("心跳", "Tick: a sign of life"),
        Kind::Pad => ("填充", "Pad: nothing"),
    }
}

/// What a field of an entry is called.
pub(super) fn field(name: &str) -> Option<Words> {
    let known: Words = match name {
        "agreement" => ("约定条目", "agreement's entry"),
        "amount" => ("金额（最小单位）", "amount, smallest unit"),
        "answer" => ("应答承诺值", "commitment to the answer"),
        "anchor" => ("锚定规则", "anchoring rule"),
        "asker" => ("请求方", "asker"),
        "attendance" => ("到场情况", "attendance"),
        "authorisation" => ("授权承诺值", "commitment to the authorisation"),
        "basis" => ("合法性依据承诺值", "commitment to the lawful basis"),
        "batch" => ("批量上限（2 的幂）", "batch, rounded up to a power of two"),
        "block" => ("区块高度", "block"),
        "block_hash" => ("区块哈希", "block's hash"),
        "block_time" => ("区块时间", "block's time"),
        "build" => ("程序摘要", "program's digest"),
        "by" => ("记录方", "recorded by"),
        "cadence_ms" => ("最长间隔（毫秒）", "longest interval, ms"),
        "certificate" => ("TLS 证书摘要", "TLS certificate's digest"),
        "chain" => ("链编号", "chain"),
        "claim" => ("主张", "claim"),
        "code" => ("合约代码摘要", "contract code's digest"),
        "commitment" => ("承诺值", "commitment"),
        "contract" => ("合约地址", "contract"),
        "contribution" => ("贡献（条目或摘要）", "contribution: its entry or digest"),
        "count" => ("数量", "count"),
        "currency" => ("币种", "currency"),
        "dataset" => ("数据集", "dataset"),
        "erased" => ("已销毁内容", "what was destroyed"),
        "evidence" => ("证据承诺值", "commitments to evidence"),
        "expires" => ("有效期至", "expires"),
        "fingerprint" => ("加盐指纹", "salted fingerprint"),
        "formula" => ("计算公式摘要", "formula's digest"),
        "from" => ("自", "from"),
        "hits" => ("命中数", "hits"),
        "hits_commitment" => ("命中数承诺值", "commitment to the hits"),
        "id" => ("条目编号", "entry's number"),
        "interval_ms" => ("间隔（毫秒）", "interval, ms"),
        "items" => ("件数", "items"),
        "job" => ("任务编号", "job"),
        "key" => ("公钥", "public key"),
        "keys" => ("公钥", "public keys"),
        "learns" => ("获知内容", "learns"),
        "limits" => ("限制", "limits"),
        "log" => ("日志", "log"),
        "members" => ("成员", "members"),
        "metric" => ("效果承诺值", "commitment to the measure"),
        "most" => ("上限", "at most"),
        "name" => ("登记名称", "registered name"),
        "needed" => ("所需签名数", "signatures needed"),
        "nonce" => ("随机数", "nonce"),
        "of" => ("项目", "of"),
        "offer" => ("开始时所提交内容的摘要", "digest of what it offered at the start"),
        "output" => ("结果承诺值", "commitment to the output"),
        "parties" => ("参与方", "parties"),
        "party" => ("参与方", "party"),
        "payee" => ("收款方", "payee"),
        "payer" => ("付款方", "payer"),
        "payments" => ("付款", "payments"),
        "peer" => ("对方", "peer"),
        "peers" => ("通信记录", "links"),
        "period" => ("数据期间", "period"),
        "policy" => ("规则摘要", "policy's digest"),
        "price" => ("价格", "price"),
        "protocol" => ("协议", "protocol"),
        "purpose" => ("用途", "purpose"),
        "query" => ("查询", "query"),
        "ranges" => ("日志区间", "stretches of logs"),
        "reason" => ("未应答原因", "reason"),
        "received" => ("接收内容摘要", "digest of what was received"),
        "received_bytes" => ("接收字节数", "bytes received"),
        "region" => ("所在地区", "region"),
        "registration" => ("统一社会信用代码或 LEI", "register number"),
        "rel" => ("关联条目", "earlier entries"),
        "responder" => ("应答方", "responder"),
        "retention_days" => ("保存天数", "kept for days"),
        "role" => ("角色", "role"),
        "root" => ("树根", "root"),
        "rows" => ("行数上限（2 的幂）", "rows, rounded up to a power of two"),
        "schema" => ("列结构摘要", "digest of columns and types"),
        "sent" => ("发送内容摘要", "digest of what was sent"),
        "sent_bytes" => ("发送字节数", "bytes sent"),
        "sharing" => ("盐的归属", "whose salt"),
        "signers" => ("须共同签名的机构", "who signs beside the recorder"),
        "since" => ("自此失效", "counts no more since"),
        "size" => ("规模", "size"),
        "software" => ("程序与版本", "program"),
        "status" => ("状态", "status"),
        "subject" => ("陈述对象", "about"),
        "supersedes" => ("替代的条目", "replaces the entry"),
        "t" => ("记录时间", "recorded at"),
        "target" | "targets" => ("对象条目", "about the entries"),
        "terms" => ("任务条款摘要", "digest of the terms"),
        "time_unit" => ("时间单位", "unit of time"),
        "topic" => ("陈述事项", "what is stated"),
        "to" => ("对象", "to"),
        "transaction" => ("交易哈希", "transaction"),
        "unit" => ("计量单位", "unit"),
        "units" => ("计量", "units"),
        "until" => ("至", "until"),
        "version" => ("版本", "version"),
        _ => return None,
    };
    Some(known)
}

/// What a value of a closed list means.
pub(super) fn value(text: &str) -> Option<&'static str> {
    Some(match text {
        "absent" => "缺席，未签署",
        "done" => "完成",
        "failed" => "失败",
        "cancelled" => "已取消",
        "served" => "已应答",
        "refused" => "已拒绝",
        "own" => "本方",
        "joint" => "各方共同",
        "records" => "记录",
        "salts" => "盐",
        "salts-and-records" => "盐与记录",
        _ => return None,
    })
}
