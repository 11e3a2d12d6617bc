"""The scaling policies of one fleet: wake, grow, fit, with ``celeriac.cdk.scaling``'s numbers."""

from __future__ import annotations

import re

import jsii
from aws_cdk import aws_applicationautoscaling, aws_cloudwatch
from constructs import Construct, IConstruct

from celeriac.cdk.constructs.queue_metrics import QueueMetrics
from celeriac.cdk.convert import duration
from celeriac.cdk.scaling import COOLDOWN, GROW, Scaling, StepPolicy

_Policy = aws_applicationautoscaling.CfnScalingPolicy


class WorkerScaling(Construct):
    """The policies that set how many workers a service has.

    Wake adds one worker, whatever the size. Grow is target tracking, which only adds, since it
    can't see messages in flight. Fit alone removes workers; ECS chooses them among those without
    task protection.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        prefix: str,
        cluster_name: str,
        service_name: str,
        service: IConstruct,
        scaling: Scaling,
        metrics: QueueMetrics,
    ) -> None:
        super().__init__(scope, id)
        self._name = f"{prefix}-{service_name}"
        self._scaling = scaling
        self._metrics = metrics
        self.target = aws_applicationautoscaling.CfnScalableTarget(
            self,
            "Target",
            service_namespace="ecs",
            scalable_dimension="ecs:service:DesiredCount",
            resource_id=f"service/{cluster_name}/{service_name}",
            # A target that is registered or changed brings its service into these bounds at once:
            # docs.aws.amazon.com/autoscaling/application/APIReference/
            # API_RegisterScalableTarget.html
            min_capacity=scaling.min_workers,
            max_capacity=scaling.max_workers,
        )
        self.target.node.add_dependency(service)
        self.wake = self._stepped(scaling.wake)
        self.grow = self._grow()
        self.fit = self._stepped(scaling.fit)

    def _grow(self) -> aws_applicationautoscaling.CfnScalingPolicy:
        metrics = self._metrics
        return _Policy(
            self,
            "GrowPolicy",
            policy_name=f"{self._name}-grow",
            policy_type="TargetTrackingScaling",
            scaling_target_id=self.target.ref,
            target_tracking_scaling_policy_configuration=(
                _Policy.TargetTrackingScalingPolicyConfigurationProperty(
                    target_value=self._scaling.backlog_per_worker,
                    disable_scale_in=True,
                    scale_out_cooldown=int(COOLDOWN.total_seconds()),
                    customized_metric_specification=(
                        _Policy.CustomizedMetricSpecificationProperty(
                            metrics=[
                                _tracked("visible", metrics.visible()),
                                _tracked("high_visible", metrics.high_visible()),
                                _tracked("running", metrics.running()),
                                _Policy.TargetTrackingMetricDataQueryProperty(
                                    id="backlog",
                                    label="messages waiting for each running worker",
                                    expression=GROW,
                                    return_data=True,
                                ),
                            ]
                        )
                    ),
                )
            ),
        )

    def _stepped(self, plan: StepPolicy) -> aws_cloudwatch.Alarm:
        policy = _Policy(
            self,
            f"{plan.name.title()}Policy",
            policy_name=f"{self._name}-{plan.name}",
            policy_type="StepScaling",
            scaling_target_id=self.target.ref,
            step_scaling_policy_configuration=_Policy.StepScalingPolicyConfigurationProperty(
                adjustment_type=plan.adjustment,
                cooldown=int(plan.cooldown.total_seconds()),
                metric_aggregation_type="Maximum",
                step_adjustments=[
                    _Policy.StepAdjustmentProperty(
                        metric_interval_lower_bound=step.lower,
                        metric_interval_upper_bound=step.upper,
                        scaling_adjustment=step.adjustment,
                    )
                    for step in plan.steps
                ],
            ),
        )
        alarm = aws_cloudwatch.Alarm(
            self,
            plan.name.title(),
            alarm_name=f"{self._name}-{plan.name}",
            alarm_description=(
                f"{plan.reason} This alarm is the scaling policy's; nobody needs to act."
            ),
            metric=self._watched(plan),
            comparison_operator=(
                aws_cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD
                if plan.below
                else aws_cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD
            ),
            threshold=plan.threshold,
            evaluation_periods=plan.windows,
            treat_missing_data=aws_cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        alarm.add_alarm_action(_Scale(policy))
        return alarm

    def _watched(self, plan: StepPolicy) -> aws_cloudwatch.IMetric:
        """The last of the plan's expressions, each computed of those before it."""
        known: dict[str, aws_cloudwatch.IMetric] = {
            count: getattr(self._metrics, count)(plan.window) for count in plan.counts
        }
        for name, expression in plan.expressions.items():
            used = set(re.findall(r"[a-z_]+", expression))
            known[name] = aws_cloudwatch.MathExpression(
                expression=expression,
                using_metrics={each: metric for each, metric in known.items() if each in used},
                period=duration(plan.window),
            )
        return known[name]


@jsii.implements(aws_cloudwatch.IAlarmAction)
class _Scale:
    """An alarm's action that carries out a policy."""

    def __init__(self, policy: aws_applicationautoscaling.CfnScalingPolicy) -> None:
        self._policy = policy

    def bind(
        self,
        scope: Construct,
        alarm: aws_cloudwatch.IAlarm,
    ) -> aws_cloudwatch.AlarmActionConfig:
        return aws_cloudwatch.AlarmActionConfig(alarm_action_arn=self._policy.ref)


def _tracked(
    id: str, metric: aws_cloudwatch.Metric
) -> aws_applicationautoscaling.CfnScalingPolicy.TargetTrackingMetricDataQueryProperty:
    return _Policy.TargetTrackingMetricDataQueryProperty(
        id=id,
        return_data=False,
        metric_stat=_Policy.TargetTrackingMetricStatProperty(
            stat=metric.statistic,
            metric=_Policy.TargetTrackingMetricProperty(
                namespace=metric.namespace,
                metric_name=metric.metric_name,
                dimensions=[
                    _Policy.TargetTrackingMetricDimensionProperty(name=name, value=value)
                    for name, value in (metric.dimensions or {}).items()
                ],
            ),
        ),
    )
