//! The object store in an S3 bucket: AWS, Garage, Ceph, SeaweedFS and whatever else speaks S3.
//!
//! Parts and downloads go between clients and the bucket by presigned requests, which name the host that the
//! settings name: it must be one that clients reach. Checksums that not every service knows are left out.
//!
//! Invariant: this is the only file that knows the AWS SDK.

use std::fmt::Debug;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    Builder, Config as S3Config, Credentials, RequestChecksumCalculation, ResponseChecksumValidation,
};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::presigning::{PresignedRequest, PresigningConfig};
use aws_sdk_s3::primitives::ByteStream as S3Bytes;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, Object};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use url::Url;

use super::{
    ByteStream, HeldObject, ObjectInfo, Part, StorageKey, content_disposition, parts_left_out, range_not_satisfiable,
    safe_media_type, total_bytes,
};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::types::Instant;

/// How long an attempt to reach the service may take, and how many attempts there are: a caller learns soon that it is away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const ATTEMPTS: u32 = 2;
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// How long an answer may take to begin.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long completing an upload may take: some services copy the parts.
const COMPLETE_TIMEOUT: Duration = Duration::from_secs(600);
/// How many parts a listing asks for at once: few enough that what is listed over several pages is nothing rare.
const PARTS_PER_PAGE: i32 = 250;
/// The region that services other than AWS are addressed with when none is configured.
const ANY_REGION: &str = "us-east-1";

/// Credentials for a bucket that are not taken from the environment.
#[derive(Clone)]
pub struct S3Credentials {
    /// The public half.
    pub access_key_id: String,
    /// The secret half.
    pub secret_access_key: String,
}

/// Objects in a bucket.
#[derive(Debug, Clone)]
pub struct S3Store {
    client: Client,
    bucket: String,
}

impl S3Store {
    /// Prepares a client for the bucket. Region, and credentials if none are given, come from where AWS tools take
    /// them: the environment, the profile files, web identity, the container's or instance's role.
    pub(super) async fn open(config: &Config, bucket: &str, credentials: Option<S3Credentials>) -> Result<Self> {
        if let Some(endpoint) = &config.s3_endpoint {
            let url = endpoint.parse::<Url>().ok();
            if !url.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
                return Err(Error::invalid("s3_endpoint", format!("{endpoint:?} is not an http or https URL")));
            }
        }
        let http =
            aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .timeout_config(timeouts(ANSWER_TIMEOUT))
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS).with_initial_backoff(FIRST_BACKOFF))
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        if let Some(region) = region(config) {
            loader = loader.region(region);
        }
        if let Some(endpoint) = &config.s3_endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        if let Some(S3Credentials { access_key_id, secret_access_key }) = credentials {
            loader =
                loader.credentials_provider(Credentials::new(access_key_id, secret_access_key, None, None, "given"));
        }
        let shared = loader.load().await;
        let path_style = shared.endpoint_url().is_some() && !config.s3_virtual_host;
        let settings = Builder::from(&shared).force_path_style(path_style).build();
        Ok(Self { client: Client::from_conf(settings), bucket: bucket.to_string() })
    }

    pub(super) async fn begin_multipart(&self, key: &StorageKey) -> Result<String> {
        let request = self.client.create_multipart_upload().bucket(&self.bucket).key(key.as_str());
        let begun = request.send().await.map_err(|error| fault("the bucket", error))?;
        begun.upload_id.ok_or_else(|| Error::internal("the object store gave an upload no id"))
    }

    pub(super) async fn part_url(
        &self,
        key: &StorageKey,
        multipart_id: &str,
        number: u32,
        size_bytes: u64,
        ttl: Duration,
        now: Instant,
    ) -> Result<Url> {
        let request = self.client.upload_part().bucket(&self.bucket).key(key.as_str()).upload_id(multipart_id);
        // The length is signed: the service refuses a body of another one.
        let request = request.part_number(part_number(number)?).content_length(signed(size_bytes)?);
        url_of(request.presigned(presigning(ttl, now)?).await.map_err(|error| fault("the upload", error))?)
    }

    pub(super) async fn parts(&self, key: &StorageKey, multipart_id: &str) -> Result<Vec<Part>> {
        let request = self.client.list_parts().bucket(&self.bucket).key(key.as_str()).upload_id(multipart_id);
        let mut pages = request.max_parts(PARTS_PER_PAGE).into_paginator().send();
        let mut parts = Vec::new();
        while let Some(page) = pages.next().await {
            for part in page.map_err(|error| fault("the upload", error))?.parts.unwrap_or_default() {
                parts.push(Part {
                    number: part.part_number.and_then(|number| u32::try_from(number).ok()).unwrap_or(0),
                    size_bytes: unsigned(part.size),
                    etag: unquoted(part.e_tag),
                });
            }
        }
        parts.sort_by_key(|part| part.number);
        Ok(parts)
    }

    pub(super) async fn complete_multipart(
        &self,
        key: &StorageKey,
        multipart_id: &str,
        parts: Vec<Part>,
    ) -> Result<()> {
        if parts.is_empty() {
            return self.complete_empty(key, multipart_id).await;
        }
        let mut completed = CompletedMultipartUpload::builder();
        for part in &parts {
            let etag = (!part.etag.is_empty()).then(|| format!("\"{}\"", part.etag));
            let part = CompletedPart::builder().part_number(part_number(part.number)?).set_e_tag(etag);
            completed = completed.parts(part.build());
        }
        let request = self.client.complete_multipart_upload().bucket(&self.bucket).key(key.as_str());
        let request = request.upload_id(multipart_id).multipart_upload(completed.build());
        let patient = S3Config::builder().timeout_config(timeouts(COMPLETE_TIMEOUT));
        match request.customize().config_override(patient).send().await {
            Ok(_) => Ok(()),
            // What an earlier call completed is no longer an upload, and services disagree on how to say so.
            Err(SdkError::ServiceError(_))
                if self.head(key).await?.is_some_and(|object| object.size_bytes == total_bytes(&parts)) =>
            {
                Ok(())
            }
            Err(error) => Err(fault("the upload", error)),
        }
    }

    /// S3 completes no upload without parts: the upload ends, and an empty object takes its place.
    async fn complete_empty(&self, key: &StorageKey, multipart_id: &str) -> Result<()> {
        if self.head(key).await?.is_some_and(|object| object.size_bytes == 0) {
            return Ok(());
        }
        match self.parts(key, multipart_id).await {
            Ok(parts) if parts.is_empty() => self.abort_multipart(key, multipart_id).await?,
            Ok(_) => return Err(parts_left_out()),
            // An earlier call came this far.
            Err(error) if error.kind == Kind::NotFound => {}
            Err(error) => return Err(error),
        }
        self.put(key, Bytes::new()).await
    }

    pub(super) async fn abort_multipart(&self, key: &StorageKey, multipart_id: &str) -> Result<()> {
        let request = self.client.abort_multipart_upload().bucket(&self.bucket).key(key.as_str());
        match request.upload_id(multipart_id).send().await.map_err(|error| fault("the upload", error)) {
            Err(error) if error.kind != Kind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    pub(super) async fn put(&self, key: &StorageKey, bytes: Bytes) -> Result<()> {
        let request = self.client.put_object().bucket(&self.bucket).key(key.as_str()).body(S3Bytes::from(bytes));
        request.send().await.map_err(|error| fault("the bucket", error))?;
        Ok(())
    }

    pub(super) async fn head(&self, key: &StorageKey) -> Result<Option<ObjectInfo>> {
        let request = self.client.head_object().bucket(&self.bucket).key(key.as_str());
        match request.send().await.map_err(|error| fault("the object", error)) {
            Ok(found) => {
                Ok(Some(ObjectInfo { size_bytes: unsigned(found.content_length), etag: unquoted(found.e_tag) }))
            }
            Err(error) if error.kind == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn read(&self, key: &StorageKey, range: Option<Range<u64>>) -> Result<ByteStream> {
        let mut request = self.client.get_object().bucket(&self.bucket).key(key.as_str());
        if let Some(range) = &range {
            let size_bytes = range.end.checked_sub(range.start);
            if size_bytes.is_none_or(|size_bytes| size_bytes == 0) {
                return self.read_nothing(key, range).await;
            }
            // HTTP ranges include their last byte.
            request = request.range(format!("bytes={}-{}", range.start, range.end.saturating_sub(1)));
        }
        let found = match request.send().await {
            Ok(found) => found,
            Err(error) if status(&error) == Some(416) => return Err(self.outside(key).await?),
            Err(error) => return Err(fault(&format!("the object {key}"), error)),
        };
        if range.is_some_and(|range| unsigned(found.content_length) != range.end - range.start) {
            return Err(self.outside(key).await?);
        }
        let next = |mut body: S3Bytes| async move {
            let piece = body.next().await?;
            Some((piece.map_err(|error| unreachable_store().because(error)), body))
        };
        Ok(stream::unfold(found.body, next).boxed())
    }

    pub(super) async fn held(&self, after: Option<&StorageKey>) -> Result<Vec<HeldObject>> {
        let held = |object: Object| {
            let written_at = object.last_modified?.to_millis().ok()?;
            Some(HeldObject {
                key: object.key?.parse().ok()?,
                written_at: Instant::from_unix_micros(written_at * 1000),
            })
        };
        let mut after = after.map(StorageKey::to_string);
        loop {
            let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(StorageKey::PREFIX);
            let listed = request.set_start_after(after).send().await.map_err(|error| fault("the bucket", error))?;
            let objects = listed.contents.unwrap_or_default();
            after = objects.last().and_then(|last| last.key.clone());
            let found: Vec<HeldObject> = objects.into_iter().filter_map(held).collect();
            // Objects with other keys may fill what is listed at once.
            if !found.is_empty() || after.is_none() {
                return Ok(found);
            }
        }
    }

    pub(super) async fn delete(&self, key: &StorageKey) -> Result<()> {
        let request = self.client.delete_object().bucket(&self.bucket).key(key.as_str());
        match request.send().await.map_err(|error| fault("the object", error)) {
            Err(error) if error.kind != Kind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    pub(super) async fn url(
        &self,
        key: &StorageKey,
        media_type: &str,
        file_name: &str,
        ttl: Duration,
        now: Instant,
    ) -> Result<Url> {
        let request = self.client.get_object().bucket(&self.bucket).key(key.as_str());
        let request = request
            .response_content_type(safe_media_type(media_type))
            .response_content_disposition(content_disposition(file_name));
        url_of(request.presigned(presigning(ttl, now)?).await.map_err(|error| fault("the object", error))?)
    }

    pub(super) async fn check(&self) -> Result<()> {
        match self.client.head_bucket().bucket(&self.bucket).send().await {
            Ok(_) => Ok(()),
            Err(error) => {
                let detail = format!("the bucket {} cannot be used", self.bucket);
                Err(Error::new(Kind::Unavailable, detail).because(fault("the bucket", error)))
            }
        }
    }

    /// An empty range holds no byte that could be asked for, yet lies inside or outside of the object.
    async fn read_nothing(&self, key: &StorageKey, range: &Range<u64>) -> Result<ByteStream> {
        match self.head(key).await? {
            None => Err(Error::not_found(format!("the object {key}"))),
            Some(object) if range.start == range.end && range.end <= object.size_bytes => Ok(stream::empty().boxed()),
            Some(object) => Err(range_not_satisfiable(object.size_bytes)),
        }
    }

    async fn outside(&self, key: &StorageKey) -> Result<Error> {
        Ok(range_not_satisfiable(self.head(key).await?.map_or(0, |object| object.size_bytes)))
    }
}

/// The region to name in signatures, unless it is AWS's own to find.
fn region(config: &Config) -> Option<RegionProviderChain> {
    let configured = config.s3_region.clone().map(Region::new);
    if configured.is_none() && config.s3_endpoint.is_none() {
        return None;
    }
    let chain = RegionProviderChain::first_try(configured)
        .or_else(EnvironmentVariableRegionProvider::new())
        .or_else(ProfileFileRegionProvider::new())
        .or_else(Region::new(ANY_REGION));
    Some(chain)
}

fn timeouts(answer: Duration) -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(answer).build()
}

fn presigning(ttl: Duration, now: Instant) -> Result<PresigningConfig> {
    let (seconds, nanos) = now.unix();
    let start = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos);
    let config = PresigningConfig::builder().start_time(start).expires_in(ttl).build();
    config.map_err(|error| Error::internal("a signed URL cannot last this long").because(error))
}

fn url_of(request: PresignedRequest) -> Result<Url> {
    Url::parse(request.uri()).map_err(|error| Error::internal("the signed URL cannot be read").because(error))
}

fn part_number(number: u32) -> Result<i32> {
    i32::try_from(number).map_err(|_| Error::invalid("number", format!("there is no part {number}")))
}

fn signed(size_bytes: u64) -> Result<i64> {
    i64::try_from(size_bytes).map_err(|_| Error::invalid("size_bytes", "a part cannot be so large"))
}

fn unsigned(size_bytes: Option<i64>) -> u64 {
    size_bytes.and_then(|size| u64::try_from(size).ok()).unwrap_or(0)
}

fn unquoted(etag: Option<String>) -> String {
    etag.unwrap_or_default().trim_matches('"').to_string()
}

fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

fn unreachable_store() -> Error {
    Error::new(Kind::Unavailable, "the object store cannot be reached").remedy("try again in a few seconds")
}

/// What a failed request means to us: come again, it is not there, or the settings are wrong.
fn fault<E>(what: &str, error: SdkError<E>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Debug + Send + Sync + 'static,
{
    let code = error.code().unwrap_or_default().to_string();
    let SdkError::ServiceError(_) = &error else {
        // No answer, or none that can be read; credentials that could not be fetched end here, too.
        return unreachable_store().because(error);
    };
    match (status(&error), code.as_str()) {
        (_, "NoSuchBucket") => {
            Error::internal("the bucket does not exist; create it, or correct --s3-bucket").because(error)
        }
        (Some(404), _) => Error::not_found(what).because(error),
        (_, "InvalidPart" | "InvalidPartOrder" | "EntityTooSmall") => {
            Error::new(Kind::WrongState, format!("a part is not in the store as it was listed ({code})"))
                .field("parts")
                .remedy("list the parts again, and send those that are missing")
                .because(error)
        }
        // The service answers 200 to a completion before it is done, and tells of a failure in the body.
        (Some(200 | 429 | 500..=599), _) | (_, "SlowDown" | "RequestTimeout" | "OperationAborted") => {
            unreachable_store().because(error)
        }
        (Some(412), _) => Error::new(Kind::Stale, format!("{what} changed in the meantime")).because(error),
        (status, _) => {
            let status = status.unwrap_or(0);
            Error::internal(format!("the object store refused a request for {what}: {status} {code}")).because(error)
        }
    }
}
