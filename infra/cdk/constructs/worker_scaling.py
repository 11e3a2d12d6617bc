"""The scaling policies of one fleet: wake, grow, fit. The numbers are ``infra.cdk.scaling``'s."""

from __future__ import annotations

from itertools import pairwise

import jsii
from aws_cdk import aws_applicationautoscaling, aws_cloudwatch
from constructs import Construct, IConstruct

from infra.cdk.constructs.queue_metrics import QueueMetrics
from infra.cdk.durations import duration
from infra.cdk.scaling import COOLDOWN, FIT_WINDOWS, GROW, PERIOD, WAKE, Scaling

_Policy = aws_applicationautoscaling.CfnScalingPolicy


class WorkerScaling(Construct):
    """The policies that set how many workers a service has.

    Wake and fit name the size they want, so that repeating one, or waking a service that the API
    has just woken, changes nothing. Growth is target tracking that never shrinks: it can't see
    what is in flight, and fit can. Which workers leave is ECS's choice among those that hold no
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
            min_capacity=0,
            max_capacity=scaling.max_workers,
        )
        self.target.node.add_dependency(service)
        self.wake = self._wake()
        self.grow = self._grow()
        self.fit = self._fit()

    def _wake(self) -> aws_cloudwatch.Alarm:
        return self._alarm(
            "Wake",
            reason="A message waits and no worker runs: start one.",
            expression=aws_cloudwatch.MathExpression(
                expression=WAKE,
                using_metrics={
                    "visible": self._metrics.visible(),
                    "running": self._metrics.running(),
                },
                period=duration(PERIOD),
            ),
            comparison=aws_cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            threshold=1,
            windows=1,
            steps=[
                _Policy.StepAdjustmentProperty(metric_interval_lower_bound=0, scaling_adjustment=1)
            ],
        )

    def _grow(self) -> aws_applicationautoscaling.CfnScalingPolicy:
        visible, running = self._metrics.visible(), self._metrics.running()
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
                                _tracked("visible", visible),
                                _tracked("running", running),
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

    def _fit(self) -> aws_cloudwatch.Alarm:
        window, most = self._scaling.fit_window, self._scaling.max_workers
        return self._alarm(
            "Fit",
            reason="The work would fit fewer workers, or there is none: let some go.",
            expression=aws_cloudwatch.MathExpression(
                expression=self._scaling.fit,
                using_metrics={
                    "visible": self._metrics.visible(window),
                    "in_flight": self._metrics.in_flight(window),
                    "delayed": self._metrics.delayed(window),
                    "samples": self._metrics.running(window),
                },
                period=duration(window),
            ),
            comparison=aws_cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
            threshold=most,
            windows=FIT_WINDOWS,
            steps=[
                _Policy.StepAdjustmentProperty(
                    metric_interval_upper_bound=-most, scaling_adjustment=0
                ),
                *(
                    _Policy.StepAdjustmentProperty(
                        metric_interval_lower_bound=below - most,
                        metric_interval_upper_bound=size - most,
                        scaling_adjustment=size,
                    )
                    for below, size in pairwise(self._scaling.sizes)
                ),
            ],
        )

    def _alarm(
        self,
        name: str,
        *,
        reason: str,
        expression: aws_cloudwatch.MathExpression,
        comparison: aws_cloudwatch.ComparisonOperator,
        threshold: int,
        windows: int,
        steps: list[aws_applicationautoscaling.CfnScalingPolicy.StepAdjustmentProperty],
    ) -> aws_cloudwatch.Alarm:
        policy = _Policy(
            self,
            f"{name}Policy",
            policy_name=f"{self._name}-{name.lower()}",
            policy_type="StepScaling",
            scaling_target_id=self.target.ref,
            step_scaling_policy_configuration=_Policy.StepScalingPolicyConfigurationProperty(
                adjustment_type="ExactCapacity",
                cooldown=int(COOLDOWN.total_seconds()),
                metric_aggregation_type="Maximum",
                step_adjustments=steps,
            ),
        )
        alarm = aws_cloudwatch.Alarm(
            self,
            name,
            alarm_name=f"{self._name}-{name.lower()}",
            alarm_description=f"{reason} This alarm is the scaling policy's; nobody needs to act.",
            metric=expression,
            comparison_operator=comparison,
            threshold=threshold,
            evaluation_periods=windows,
            treat_missing_data=aws_cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        alarm.add_alarm_action(_Scale(policy))
        return alarm


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
