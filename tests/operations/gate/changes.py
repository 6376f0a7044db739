# ruff: noqa: E501 - a table
"""One-line changes: those that break a failover, with the rule and the address to be named, and harmless ones."""

from typing import NamedTuple

from tests.operations.gate.plans import Step, create, destroy, moved, of, put, replace


class Change(NamedTuple):
    """A change of a deployed stack: `rule` and `address` are the cause that the gate must name first or among others."""

    stack: str
    what: str
    steps: tuple[Step, ...]
    rule: str = ""
    address: str = ""


RECORD, CHECK = "aws_route53_record.", "aws_route53_health_check."
DNS1, DNS2 = f"{RECORD}dns_primary_record", f"{RECORD}dns_secondary_record"
HC1, HC2 = f"{CHECK}dns_primary_health_check", f"{CHECK}dns_secondary_health_check"
TABLE, RULES = "aws_dynamodb_table.data_table", "aws_s3_bucket_replication_configuration.data_replication"
ALB, CF, API, WEIGHTED, AURORA = (
    "alb_failover", "latency_cloudfront", "api_gateway_alias", "weighted_module", "aurora_global",
)  # fmt: skip
FRANKFURT, PARIS = (f'module.records.aws_route53_record.this["{each}"]' for each in ("frankfurt", "paris"))

BREAKING = [
    # Our stack
    Change("default", "the primary record loses its health check", (put(DNS1, "health_check_id", ""),), "no-health-check", DNS1),
    Change("default", "TTL of an hour", (put(DNS1, "ttl", 3600), put(DNS2, "ttl", 3600)), "beyond-target", DNS1),
    Change("default", "threshold of 10", (put(HC1, "failure_threshold", 10),), "beyond-target", HC1),
    Change("default", "weights swapped", (put(DNS1, "weighted_routing_policy.0.weight", 0), put(DNS2, "weighted_routing_policy.0.weight", 100)), "traffic-moves", DNS1),
    Change("default", "the standby gets clients too", (put(DNS2, "weighted_routing_policy.0.weight", 50),), "traffic-moves", DNS2),
    Change("default", "both weights are 0", (put(DNS1, "weighted_routing_policy.0.weight", 0),), "traffic-moves", DNS1),
    Change("default", "the standby record is removed", (destroy(DNS2),), "name-lost", DNS2),
    Change("default", "the name is removed", (destroy(DNS1, DNS2),), "name-lost", DNS1),
    Change("default", "the health check is disabled", (put(HC1, "disabled", True),), "check-cannot-fail", HC1),
    Change("default", "the health check is inverted", (put(HC1, "invert_healthcheck", True),), "check-inverted", HC1),
    Change("default", "another path", (put(HC1, "resource_path", "/healthz"),), "check-cannot-pass", HC1),
    Change("default", "HTTP in place of HTTPS", (put(HC1, "type", "HTTP"), put(HC1, "port", 80)), "check-cannot-pass", HC1),
    Change("default", "TCP in place of HTTPS", (put(HC1, "type", "TCP"),), "check-cannot-fail", HC1),
    Change("default", "no SNI", (put(HC1, "enable_sni", False),), "check-cannot-pass", HC1),
    Change("default", "another port", (put(HC1, "port", 8443),), "check-cannot-pass", HC1),
    Change("default", "the primary's check probes the standby", (put(HC1, "fqdn", of(HC2, "fqdn")),), "check-probes-elsewhere", HC1),
    Change("default", "one check for both", (put(DNS2, "health_check_id", of(HC1, "id")),), "check-shared", HC1),
    Change("default", "both records lead to the primary", (put(DNS2, "records", of(DNS1, "records")),), "name-lost", DNS2),
    Change("default", "the replica is removed", (put(TABLE, "replica", []),), "copy-lost", TABLE),
    Change("default", "point-in-time recovery is off", (put(TABLE, "point_in_time_recovery.0.enabled", False),), "no-recovery", TABLE),
    Change("default", "that of the replica is off", (put(TABLE, "replica.0.point_in_time_recovery", False),), "no-recovery", TABLE),
    Change("default", "the table is replaced", (replace(TABLE),), "destroyed", TABLE),
    Change("default", "the stream is off", (put(TABLE, "stream_enabled", False),), "copy-stopped", TABLE),
    Change("default", "replication is disabled", (put(RULES, "rule.0.status", "Disabled"),), "copy-lost", RULES),
    Change("default", "replication is removed", (destroy(RULES),), "copy-lost", RULES),
    Change("default", "versioning is suspended", (put("aws_s3_bucket_versioning.data_destination_versioning", "versioning_configuration.0.status", "Suspended"),), "copy-stopped", "aws_s3_bucket_versioning.data_destination_versioning"),
    Change("default", "the role that replicates loses its policy", (destroy("aws_iam_role_policy_attachment.data_s3_replication_attachment"),), "rights-lost", "aws_iam_role_policy_attachment.data_s3_replication_attachment"),
    Change("default", "the alarm on the check is removed", (destroy("aws_cloudwatch_metric_alarm.dns_primary_health_check_alarm"),), "alarm-lost", "aws_cloudwatch_metric_alarm.dns_primary_health_check_alarm"),
    Change("default", "the alarm loses its action", (put("aws_cloudwatch_metric_alarm.dns_primary_health_check_alarm", "alarm_actions", []),), "alarm-silent", "aws_cloudwatch_metric_alarm.dns_primary_health_check_alarm"),
    Change("default", "actions are disabled", (put("aws_cloudwatch_metric_alarm.dns_primary_health_check_alarm", "actions_enabled", False),), "alarm-silent", "aws_cloudwatch_metric_alarm.dns_primary_health_check_alarm"),
    Change("default", "the subscription is removed", (destroy("aws_sns_topic_subscription.alerting_east_email"),), "topic-unheard", "aws_sns_topic_subscription.alerting_east_email"),
    Change("default", "the alarm on the check is made in the standby region", (moved("aws_cloudwatch_metric_alarm.dns_primary_health_check_alarm", "aws.secondary"),), "alarm-metric-elsewhere", "aws_cloudwatch_metric_alarm.dns_primary_health_check_alarm"),
    Change("default", "the key is destroyed", (destroy("aws_kms_key.encryption_west_key"),), "destroyed", "aws_kms_key.encryption_west_key"),
    Change("default", "the key is disabled", (put("aws_kms_key.encryption_west_key", "is_enabled", False),), "key-unusable", "aws_kms_key.encryption_west_key"),
    Change("default", "the health function may not run", (put("aws_lambda_function.health_monitor_west_function", "reserved_concurrent_executions", 0),), "serves-nothing", "aws_lambda_function.health_monitor_west_function"),
    Change("default", "its API may not call it", (destroy("aws_lambda_permission.health_monitor_west_api_permission", "aws_lambda_permission.health_monitor_west_function_schedule_permission"),), "part-lost", "aws_lambda_permission.health_monitor_west_api_permission"),
    Change("default", "the stage is removed", (destroy("aws_apigatewayv2_stage.health_monitor_west_stage"),), "part-lost", "aws_apigatewayv2_stage.health_monitor_west_stage"),
    Change("default", "the zone is replaced", (replace("aws_route53_zone.dns_zone"),), "destroyed", "aws_route53_zone.dns_zone"),
    Change("default", "the schedule is disabled", (put("aws_cloudwatch_event_rule.config_sync_east_reconcile_rule", "state", "DISABLED"),), "serves-nothing", "aws_cloudwatch_event_rule.config_sync_east_reconcile_rule"),
    # The production preset
    Change("production", "one of two children suffices", (put(f"{CHECK}dns_primary_calculated_health_check", "child_health_threshold", 1),), "check-cannot-fail", f"{CHECK}dns_primary_calculated_health_check"),
    Change("production", "more children than there are", (put(f"{CHECK}dns_primary_calculated_health_check", "child_health_threshold", 4),), "check-cannot-pass", f"{CHECK}dns_primary_calculated_health_check"),
    Change("production", "the switch is not inverted", (put(f"{CHECK}dns_switch_health_check", "invert_healthcheck", False),), "check-inverted", f"{CHECK}dns_switch_health_check"),
    Change("production", "the alarm of another region", (put(f"{CHECK}dns_primary_alarm_health_check", "cloudwatch_alarm_region", "us-west-2"),), "alarm-not-followed", f"{CHECK}dns_primary_alarm_health_check"),
    Change("production", "deletion protection is off", (put(TABLE, "deletion_protection_enabled", False),), "unprotected", TABLE),
    Change("production", "the mapping of the domain is removed", (destroy("aws_apigatewayv2_api_mapping.dns_secondary_domain_api_mapping"),), "part-lost", "aws_apigatewayv2_api_mapping.dns_secondary_domain_api_mapping"),
    # Examples
    Change("payments_service", "the standby's alias leads to the primary", (put(DNS2, "alias.0.name", of(DNS1, "alias", 0, "name")),), "name-lost", DNS2),
    Change("payments_service", "the buckets are destroyed with their documents", (put("aws_s3_bucket.data_source_bucket", "force_destroy", True), put(RULES, "rule.0.status", "Disabled")), "copy-lost", RULES),
    # Failover records with a load balancer
    Change(ALB, "the primary loses its check and its evaluation", (put(f"{RECORD}primary", "health_check_id", ""), put(f"{RECORD}primary", "alias.0.evaluate_target_health", False)), "no-health-check", f"{RECORD}primary"),
    Change(ALB, "the check probes another port", (put(f"{CHECK}primary", "port", 80),), "check-cannot-pass", f"{CHECK}primary"),
    Change(ALB, "the check asks for another path", (put(f"{CHECK}primary", "resource_path", "/healthz"),), "check-changed", f"{CHECK}primary"),
    Change(ALB, "the check of the primary probes the standby", (put(f"{CHECK}primary", "fqdn", of("aws_lb.standby", "dns_name")),), "check-probes-elsewhere", f"{CHECK}primary"),
    Change(ALB, "the standby leads to the primary's balancer", (put(f"{RECORD}standby", "alias.0.name", of("aws_lb.primary", "dns_name")),), "name-lost", f"{RECORD}standby"),
    Change(ALB, "the standby record is removed", (destroy(f"{RECORD}standby"),), "name-lost", f"{RECORD}standby"),
    Change(ALB, "the roles are swapped", (put(f"{RECORD}primary", "failover_routing_policy.0.type", "SECONDARY"), put(f"{RECORD}standby", "failover_routing_policy.0.type", "PRIMARY")), "traffic-moves", f"{RECORD}primary"),
    Change(ALB, "the standby's listener is removed", (destroy("aws_lb_listener.standby"),), "part-lost", "aws_lb_listener.standby"),
    Change(ALB, "the standby is scaled to nothing", (put("aws_autoscaling_group.standby", "max_size", 0),), "serves-nothing", "aws_autoscaling_group.standby"),
    Change(ALB, "the standby's group is removed", (destroy("aws_autoscaling_group.standby"),), "part-lost", "aws_autoscaling_group.standby"),
    Change(ALB, "nobody may reach the standby", (put("aws_security_group.standby", "ingress.0.cidr_blocks", []),), "checkers-locked-out", "aws_security_group.standby"),
    Change(ALB, "the standby's bucket is destroyed", (destroy("aws_s3_bucket.assets_standby", "aws_s3_bucket_versioning.assets_standby", "aws_s3_bucket_replication_configuration.assets"),), "destroyed", "aws_s3_bucket.assets_standby"),
    Change(ALB, "the policy of replication is removed", (destroy("aws_iam_role_policy.replication"),), "rights-lost", "aws_iam_role_policy.replication"),
    Change(ALB, "the check is 10 times slower", (put(f"{CHECK}primary", "failure_threshold", 10),), "beyond-target", f"{CHECK}primary"),
    Change(ALB, "a program may change the records", (create("aws_iam_role", "switcher", {"name": "switcher", "assume_role_policy": '{"Statement": [{"Principal": {"Service": "lambda.amazonaws.com"}}]}'}), create("aws_iam_role_policy", "switcher", {"name": "switch", "role": "switcher", "policy": '{"Statement": [{"Effect": "Allow", "Action": "route53:ChangeResourceRecordSets", "Resource": "*"}]}'}),), "control-plane-needed", "aws_iam_role_policy.switcher"),
    Change(ALB, "the balancer loses its protection", (put("aws_lb.standby", "enable_deletion_protection", False),), "unprotected", "aws_lb.standby"),
    Change(ALB, "the alarm does not fire without data", (put("aws_cloudwatch_metric_alarm.primary_down", "treat_missing_data", "notBreaching"),), "alarm-silent", "aws_cloudwatch_metric_alarm.primary_down"),
    # Latency records behind CloudFront
    Change(CF, "a record loses its check and its evaluation", (put(f"{RECORD}origin_sydney", "health_check_id", ""), put(f"{RECORD}origin_sydney", "alias.0.evaluate_target_health", False)), "no-health-check", f"{RECORD}origin_sydney"),
    Change(CF, "the origin is one region's host", (put("aws_cloudfront_distribution.main", "origin.0.domain_name", "ireland.news.acme.io"),), "name-lost", f"{RECORD}www"),
    Change(CF, "the record of one region is removed", (destroy(f"{RECORD}origin_sydney"),), "name-lost", f"{RECORD}origin_sydney"),
    Change(CF, "the distribution is disabled", (put("aws_cloudfront_distribution.main", "enabled", False),), "serves-nothing", "aws_cloudfront_distribution.main"),
    Change(CF, "both checks probe Ireland", (put(f"{RECORD}direct_sydney", "records", of(f"{RECORD}direct_ireland", "records")),), "check-probes-elsewhere", f"{CHECK}sydney"),
    Change(CF, "the check searches for another text", (put(f"{CHECK}ireland", "search_string", "fine"),), "check-changed", f"{CHECK}ireland"),
    Change(CF, "the replica is removed", (put("aws_dynamodb_table.articles", "replica", []),), "copy-lost", "aws_dynamodb_table.articles"),
    Change(CF, "the replica is in Ireland", (put("aws_dynamodb_table.articles", "replica.0.region_name", "eu-west-1"),), "copy-in-same-region", "aws_dynamodb_table.articles"),
    Change(CF, "deletion protection is off", (put("aws_dynamodb_table.articles", "deletion_protection_enabled", False),), "unprotected", "aws_dynamodb_table.articles"),
    # Aliases of API Gateway
    Change(API, "the primary loses its check", (put(f"{RECORD}ohio", "health_check_id", ""),), "no-health-check", f"{RECORD}ohio"),
    Change(API, "the route that is probed is removed", (destroy("aws_apigatewayv2_route.ohio_ping"),), "check-cannot-pass", f"{CHECK}ohio"),
    Change(API, "the API's own host is disabled", (put("aws_apigatewayv2_api.ohio", "disable_execute_api_endpoint", True),), "check-cannot-pass", f"{CHECK}ohio"),
    Change(API, "the standby's domain is not mapped", (destroy("aws_apigatewayv2_api_mapping.canada"),), "part-lost", "aws_apigatewayv2_api_mapping.canada"),
    Change(API, "the secret has no replica", (put("aws_secretsmanager_secret.orders", "replica", []),), "copy-lost", "aws_secretsmanager_secret.orders"),
    Change(API, "the replica of the key is destroyed", (destroy("aws_kms_replica_key.orders"),), "copy-lost", "aws_kms_replica_key.orders"),
    # Weighted records by a module
    Change(WEIGHTED, "a record loses its check", (put(PARIS, "health_check_id", ""),), "no-health-check", PARIS),
    Change(WEIGHTED, "one of two children suffices", (put(f"{CHECK}frankfurt_all", "child_health_threshold", 1),), "check-cannot-fail", f"{CHECK}frankfurt_all"),
    Change(WEIGHTED, "a threshold of 0", (put(f"{CHECK}frankfurt_all", "child_health_threshold", 0),), "check-cannot-fail", f"{CHECK}frankfurt_all"),
    Change(WEIGHTED, "a weight of 0", (put(FRANKFURT, "weighted_routing_policy.0.weight", 0),), "traffic-moves", FRANKFURT),
    Change(WEIGHTED, "another TTL for one of them", (put(PARIS, "ttl", 30),), "records-differ", PARIS),
    Change(WEIGHTED, "the same set identifier", (put(PARIS, "set_identifier", "frankfurt"),), "records-differ", PARIS),
    Change(WEIGHTED, "the address of the other region", (put(PARIS, "records", of("aws_eip.frankfurt", "public_ip")),), "name-lost", PARIS),
    # An Aurora global cluster
    Change(AURORA, "the second cluster leaves", (put("aws_rds_cluster.west", "global_cluster_identifier", ""),), "copy-lost", "aws_rds_cluster.west"),
    Change(AURORA, "the second cluster is destroyed", (destroy("aws_rds_cluster.west"),), "destroyed", "aws_rds_cluster.west"),
    Change(AURORA, "the second cluster has no instance", (destroy("aws_rds_cluster_instance.west"),), "part-lost", "aws_rds_cluster_instance.west"),
    Change(AURORA, "the alarm's missing data fail the primary", (put(f"{CHECK}east", "insufficient_data_health_status", "Unhealthy"),), "alarm-not-followed", f"{CHECK}east"),
    Change(AURORA, "the alarm is in the primary region", (moved("aws_cloudwatch_metric_alarm.canary", "aws"), put(f"{CHECK}east", "cloudwatch_alarm_region", "us-east-1")), "alarm-not-followed", f"{CHECK}east"),
    Change(AURORA, "the alarm waits for five minutes", (put("aws_cloudwatch_metric_alarm.canary", "evaluation_periods", 5),), "beyond-target", f"{CHECK}east"),
    Change(AURORA, "the alarm has a high resolution", (put("aws_cloudwatch_metric_alarm.canary", "period", 10),), "alarm-not-followed", f"{CHECK}east"),
    Change(AURORA, "its topic is in another region", (put("aws_cloudwatch_metric_alarm.canary", "alarm_actions", ["arn:aws:sns:us-east-1:123456789012:alarms"]),), "alarm-action-elsewhere", "aws_cloudwatch_metric_alarm.canary"),
    Change(AURORA, "the global cluster loses its protection", (put("aws_rds_global_cluster.ledger", "deletion_protection", False),), "unprotected", "aws_rds_global_cluster.ledger"),
    Change(AURORA, "backups of a day", (put("aws_rds_cluster.west", "backup_retention_period", 1),), "no-recovery", "aws_rds_cluster.west"),
    Change(AURORA, "the standby's record leads to the primary", (put(f"{RECORD}west", "records", of("aws_rds_cluster.east", "endpoint")),), "name-lost", f"{RECORD}west"),
    Change(AURORA, "the primary record loses its check", (put(f"{RECORD}east", "health_check_id", ""),), "no-health-check", f"{RECORD}east"),
]  # fmt: skip

_ALARM = {"alarm_name": "cpu", "namespace": "AWS/EC2", "metric_name": "CPUUtilization", "alarm_actions": ["arn:aws:sns:us-east-1:123456789012:t"]}  # fmt: skip
HARMLESS = [
    Change("default", "nothing", ()),
    Change("default", "a tag of the health check", (put(HC1, "tags", {"Name": "check", "Team": "payments"}),)),
    Change("default", "TTL of a minute", (put(DNS1, "ttl", 60), put(DNS2, "ttl", 60))),
    Change("default", "a threshold of 2", (put(HC1, "failure_threshold", 2),)),
    Change("default", "measured latency", (put(HC1, "measure_latency", True),)),
    Change("default", "other weights, the same clients", (put(DNS1, "weighted_routing_policy.0.weight", 200),)),
    Change("default", "a tag of the table", (put(TABLE, "tags", {"Team": "payments"}),)),
    Change("default", "deletion protection is on", (put(TABLE, "deletion_protection_enabled", True),)),
    Change("default", "a replica more", (put(TABLE, "replica", [{"region_name": "us-west-2", "point_in_time_recovery": True}, {"region_name": "eu-west-1", "point_in_time_recovery": True}]),)),
    Change("default", "memory of a function", (put("aws_lambda_function.health_monitor_west_function", "memory_size", 512),)),
    Change("default", "code of a function", (put("aws_lambda_function.health_monitor_west_function", "source_code_hash", "x"),)),
    Change("default", "reserved concurrency", (put("aws_lambda_function.health_monitor_west_function", "reserved_concurrent_executions", 50),)),
    Change("default", "logs are kept for longer", (put("aws_cloudwatch_log_group.health_monitor_east_function_log_group", "retention_in_days", 30),)),
    Change("default", "an alarm's description", (put("aws_cloudwatch_metric_alarm.dns_primary_health_check_alarm", "alarm_description", "call"),)),
    Change("default", "an alarm's threshold", (put("aws_cloudwatch_metric_alarm.config_sync_east_errors_alarm", "threshold", 5),)),
    Change("default", "another alarm is removed", (destroy("aws_cloudwatch_metric_alarm.config_sync_east_throttles_alarm"),)),
    Change("default", "an alarm more", (create("aws_cloudwatch_metric_alarm", "cpu", dict(_ALARM)),)),
    Change("default", "a queue more", (create("aws_sqs_queue", "jobs", {"name": "jobs"}),)),
    Change("default", "a simple record more", (create("aws_route53_record", "docs", {"zone_id": "Z1", "name": "docs.payment-app.test", "type": "CNAME", "ttl": 300, "records": ["docs.acme.io"]}),)),
    Change("default", "a TXT record more", (create("aws_route53_record", "spf", {"zone_id": "Z1", "name": "payment-app.test", "type": "TXT", "ttl": 300, "records": ["v=spf1 -all"]}),)),
    Change("default", "another address for mails", (replace("aws_sns_topic_subscription.alerting_east_email"),)),
    Change("default", "a bucket more", (create("aws_s3_bucket", "logs", {"bucket": "logs", "force_destroy": True}),)),
    Change("default", "a table more, without anything", (create("aws_dynamodb_table", "sessions", {"name": "sessions", "replica": [], "deletion_protection_enabled": False}),)),
    Change("default", "the schedule is more frequent", (put("aws_cloudwatch_event_rule.config_sync_east_reconcile_rule", "schedule_expression", "rate(1 minute)"),)),
    Change("default", "days until a key is deleted", (put("aws_kms_key.encryption_west_key", "deletion_window_in_days", 30),)),
    Change("production", "nothing", ()),
    Change("production", "a tag of the switch", (put(f"{CHECK}dns_switch_health_check", "tags", {"Name": "switch"}),)),
    Change("production", "the canary's alarm has a description", (put("aws_cloudwatch_metric_alarm.data_canary_failover_east_alarm", "alarm_description", "call"),)),
    Change("production", "an alarm of the switch is removed", (destroy("aws_cloudwatch_metric_alarm.switch_function_throttles_alarm"),)),
    Change("payments_service", "nothing", ()),
    Change("payments_service", "a route of the service is removed", (destroy("aws_apigatewayv2_route.service_routes_east_route_get_payments_id"),)),
    Change("existing_api", "nothing", ()),
    Change(ALB, "nothing", ()),
    Change(ALB, "more instances", (put("aws_autoscaling_group.standby", "max_size", 12),)),
    Change(ALB, "another image", (put("aws_launch_template.primary", "image_id", "ami-0fedcba9876543210"),)),
    Change(ALB, "evaluation is off where a check decides", (put(f"{RECORD}primary", "alias.0.evaluate_target_health", False),)),
    Change(ALB, "the check goes where a check evaluates", (put(f"{RECORD}primary", "health_check_id", ""),)),
    Change(ALB, "the path of checks moves on both sides", (put("aws_lb_target_group.primary", "health_check.0.path", "/ready"), put("aws_lb_target_group.standby", "health_check.0.path", "/ready"), put(f"{CHECK}primary", "resource_path", "/ready"), put(f"{CHECK}standby", "resource_path", "/ready"))),
    Change(ALB, "a narrower description of a group", (put("aws_security_group.standby", "ingress.0.description", "TLS"),)),
    Change(ALB, "a listener of HTTP more", (create("aws_lb_listener", "http", {"port": 80, "protocol": "HTTP", "load_balancer_arn": "arn:aws:elasticloadbalancing:us-east-1:1:x"}),)),
    Change(ALB, "a rule of replication is renamed", (put("aws_s3_bucket_replication_configuration.assets", "rule.0.id", "everything"),)),
    Change(CF, "nothing", ()),
    Change(CF, "HTTP/3", (put("aws_cloudfront_distribution.main", "http_version", "http3"),)),
    Change(CF, "a comment", (put("aws_cloudfront_distribution.main", "comment", "News"),)),
    Change(CF, "a TTL of the direct names", (put(f"{RECORD}direct_sydney", "ttl", 300),)),
    Change(CF, "the table's class", (put("aws_dynamodb_table.articles", "table_class", "STANDARD_INFREQUENT_ACCESS"),)),
    Change(API, "nothing", ()),
    Change(API, "another route more", (create("aws_apigatewayv2_route", "ohio_items", {"api_id": "x", "route_key": "GET /items"}),)),
    Change(API, "an order's route is removed", (destroy("aws_apigatewayv2_route.ohio_orders"),)),
    Change(API, "throttling of a stage", (put("aws_apigatewayv2_stage.ohio", "description", "prod"),)),
    Change(WEIGHTED, "nothing", ()),
    Change(WEIGHTED, "other shares", (put(FRANKFURT, "weighted_routing_policy.0.weight", 50), put(PARIS, "weighted_routing_policy.0.weight", 50))),
    Change(WEIGHTED, "a queue is destroyed", (destroy("aws_sqs_queue.jobs"),)),
    Change(WEIGHTED, "both TTLs", (put(FRANKFURT, "ttl", 30), put(PARIS, "ttl", 30))),
    Change(AURORA, "nothing", ()),
    Change(AURORA, "a larger instance", (put("aws_rds_cluster_instance.west", "instance_class", "db.r6g.xlarge"),)),
    Change(AURORA, "longer backups", (put("aws_rds_cluster.west", "backup_retention_period", 14),)),
    Change(AURORA, "a shorter TTL", (put(f"{RECORD}east", "ttl", 10), put(f"{RECORD}west", "ttl", 10))),
    Change(AURORA, "the alarm's threshold", (put("aws_cloudwatch_metric_alarm.canary", "threshold", 1),)),
]  # fmt: skip
