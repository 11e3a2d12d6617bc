"""What watches the system: its dashboard, its alarms, and its budget."""

from __future__ import annotations

from aws_cdk import Stack, aws_budgets
from constructs import Construct

from celeriac import Catalogue
from celeriac.cdk import Environment, Operations
from infra.cdk.environments import TAG
from infra.cdk.stacks.api import Api
from infra.cdk.stacks.data import Data
from infra.cdk.stacks.workers import Workers


class Ops(Stack):
    """Everything that watches, and nothing that the system needs to run."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        environment: Environment,
        catalogue: Catalogue,
        data: Data,
        api: Api,
        workers: Workers,
    ) -> None:
        super().__init__(
            scope,
            id,
            env=environment.env,
            stack_name=f"{environment.prefix}-ops",
            description="Celeriac: dashboard, alarms and budget.",
        )
        self.operations = Operations(
            self,
            environment=environment,
            catalogue=catalogue,
            data=data.tasks,
            api=api.tasks,
            fleets=workers.fleets,
        )
        self._budget(environment)

    def _budget(self, environment: Environment) -> None:
        """Mail when this deployment costs more than the month's budget, or is about to.

        It counts what carries the deployment's tag, once that is active in the account's billing:
        docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/activating-tags.html
        """
        subscriber = aws_budgets.CfnBudget.SubscriberProperty(
            address=self.operations.alarms.topic.topic_arn, subscription_type="SNS"
        )
        aws_budgets.CfnBudget(
            self,
            "Budget",
            budget=aws_budgets.CfnBudget.BudgetDataProperty(
                # An account's budgets have no region, and another region may have this name too.
                budget_name=f"{environment.prefix}-{self.region}",
                budget_type="COST",
                time_unit="MONTHLY",
                # docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/
                # aws-properties-budgets-budget-budgetdata.html
                cost_filters={"TagKeyValue": [f"user:{TAG}${environment.title}"]},
                budget_limit=aws_budgets.CfnBudget.SpendProperty(
                    amount=environment.monthly_budget_usd, unit="USD"
                ),
            ),
            notifications_with_subscribers=[
                aws_budgets.CfnBudget.NotificationWithSubscribersProperty(
                    notification=aws_budgets.CfnBudget.NotificationProperty(
                        notification_type=kind,
                        comparison_operator="GREATER_THAN",
                        threshold=percent,
                        threshold_type="PERCENTAGE",
                    ),
                    subscribers=[subscriber],
                )
                for kind, percent in (("ACTUAL", 80), ("FORECASTED", 100))
            ],
        )
