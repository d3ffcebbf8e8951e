"""The ledger: each update of an action once."""

from django.db import models


class Update(models.Model):
    """What one postback told. Texts are kept as they came."""

    # Unique, so that the database decides what is new, also when two come at once.
    fingerprint = models.CharField(max_length=64, unique=True)
    received_at = models.DateTimeField(auto_now_add=True)
    action_id = models.CharField(max_length=100, db_index=True)
    status = models.CharField(max_length=20)
    # 15 digits are what SQLite keeps exactly; PostgreSQL takes as many as you like.
    payout = models.DecimalField(max_digits=15, decimal_places=4)
    delta_payout = models.DecimalField(max_digits=15, decimal_places=4)
    amount = models.DecimalField(max_digits=15, decimal_places=4)
    delta_amount = models.DecimalField(max_digits=15, decimal_places=4)
    currency = models.CharField(max_length=10, blank=True)
    event_date = models.DateTimeField(null=True, blank=True)
    sub_id1 = models.TextField(blank=True)
    campaign_name = models.TextField(blank=True)

    def __str__(self) -> str:
        return f"{self.action_id} {self.status} {self.payout} {self.currency}"
