"""EncryptionKey: one customer managed KMS key for a region's alerts and parameters."""

from typing import Final

from .bindings import Construct, KmsAlias, KmsKey
from .checks import mistakes_in_props
from .described import Described
from .errors import reject
from .naming import mistakes_in_names, name
from .policies import Condition, Statement, policy_document, source_account, via_service
from .region import Region, account_id, account_root, arn, mistakes_in_providers, region_name
from .suppressions import suppress

MINIMUM_DELETION_WINDOW_DAYS = 7


class EncryptionKey(Described):
    """A KMS key that SNS, CloudWatch alarms and Parameter Store of one region may use, with its alias.

    The account root has full rights, so the key cannot be locked out:
    https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html

    CloudWatch has a statement of its own, because without it an alarm never reaches an encrypted topic, and nothing
    reports that: https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html#compatibility-with-aws-services

    Args:
        region: Where the key lives.
        environment: Environment name; may be a Terraform variable.
        purpose: Part of names. Default "dr-encryption", so alias/dr-encryption-{label}-{environment}.
        deletion_window_days: Days between deletion and loss, 7 to 30. Default 7.

    Raises:
        ConfigurationError: A prop is outside its limit, or the region's provider deploys to another region.

    Attributes:
        key_arn, key_id: The key.
        alias_name: "alias/…".

    Example:
        >>> key = EncryptionKey(self, "key", region=Region(name="us-east-1"), environment="dev")
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        region: Region,
        environment: str,
        purpose: str = "dr-encryption",
        deletion_window_days: int = MINIMUM_DELETION_WINDOW_DAYS,
    ) -> None:
        super().__init__(scope, id_)
        mistakes = mistakes_in_props(EncryptionKey, locals())
        mistakes += mistakes_in_providers(self, region)
        mistakes += mistakes_in_names("purpose", purpose, [region], environment, "alias/{}")
        reject("EncryptionKey", mistakes)
        # In a key policy "*" is the key itself: https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-overview.html
        this_key = ["*"]
        region_token = region_name(self, region)
        key = KmsKey(
            self,
            "key",
            description=f"Encrypts the alerts and configuration of {region.name} ({purpose})",
            enable_key_rotation=True,
            deletion_window_in_days=deletion_window_days,
            policy=policy_document(
                self,
                "key_policy",
                [
                    Statement(
                        sid="AccountHasFullControl",
                        actions=["kms:*"],
                        resources=this_key,
                        principals={"AWS": [account_root(self)]},
                    ),
                    Statement(
                        sid="SnsDeliversAlerts",
                        actions=["kms:Decrypt", "kms:GenerateDataKey*"],
                        resources=this_key,
                        principals={"Service": ["sns.amazonaws.com"]},
                        conditions=[source_account(self)],
                    ),
                    Statement(
                        sid="AlarmsPublishToEncryptedTopic",
                        actions=["kms:Decrypt", "kms:GenerateDataKey*"],
                        resources=this_key,
                        principals={"Service": ["cloudwatch.amazonaws.com"]},
                        conditions=[
                            source_account(self),
                            Condition("ArnLike", "aws:SourceArn", [arn(self, "cloudwatch", region, "alarm:*")]),
                        ],
                    ),
                    # Parameter Store calls KMS with its caller's credentials, never as a service principal, so the
                    # statement that lets "the SSM service" use the key is one on the account's callers through SSM.
                    # https://docs.aws.amazon.com/systems-manager/latest/userguide/secure-string-parameter-kms-encryption.html
                    Statement(
                        sid="ParameterStoreEncryptsAndDecrypts",
                        actions=["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey*"],
                        resources=this_key,
                        principals={"AWS": [account_root(self)]},
                        conditions=[
                            via_service("ssm", region_token),
                            Condition("StringEquals", "kms:CallerAccount", [account_id(self)]),
                        ],
                    ),
                ],
            ),
            tags={"Name": name("kms", purpose, region, environment)},
            provider=region.provider,
        )
        suppress(
            key,
            PARLIAMENT_RESOURCE_STAR="in a key policy it is this key alone: "
            "docs.aws.amazon.com/kms/latest/developerguide/key-policy-overview.html",
        )
        alias = KmsAlias(
            self,
            "alias",
            name=f"alias/{purpose}-{region.label}-{environment}",
            target_key_id=key.key_id,
            provider=region.provider,
        )
        self.key_arn: Final = key.arn
        self.key_id: Final = key.key_id
        self.alias_name: Final = alias.name
