"""The currencies of Capsule: one list, the same for every account."""

from __future__ import annotations

from typing import Any

_SYMBOLS = """
AED Dh ARS $ AUD A$ AZN ₼ BAM KM BDT ৳ BGN лв BHD BD BMD $ BND $ BOB Bs BRL R$ BWP P CAD CA$
CHF CHF CLP $ CNY ¥ COP $ CRC ₡ CZK Kč DKK kr DOP $ DZD DA EGP £ ETB Br EUR € FJD $ GBP £ GEL ₾
GHS ₵ GTQ Q HKD HK$ HNL L HUF Ft IDR Rp ILS ₪ INR ₹ ISK kr JMD $ JOD JD JPY ¥ KES KSh KRW ₩
KWD KD KZT ₸ LBP LL LKR Rs MAD DH MOP P MUR ₨ MXN MX$ MYR RM NAD $ NGN ₦ NOK kr NZD NZ$ OMR RO
PAB B/. PEN S/. PHP ₱ PKR ₨ PLN zł PYG ₲ QAR QR RON lei RSD дин. RUB ₽ SAR SR SEK kr SGD S$ THB ฿
TND DT TRY ₺ TTD $ TWD NT$ TZS TSh UAH ₴ UGX USh USD $ UYU $ VND ₫ XAF FCFA XOF CFA ZAR R ZMW ZK
"""

CURRENCIES: list[dict[str, Any]] = [
    {"code": code, "symbol": symbol}
    for code, symbol in zip(_SYMBOLS.split()[::2], _SYMBOLS.split()[1::2], strict=True)
]
"""Codes of ISO 4217, each with the symbol that people write."""

CODES = frozenset(row["code"] for row in CURRENCIES)
