"""The name of a set of timm's weights goes in; the sha256 that the Hugging Face Hub shows of its file comes out.

The Hub has a page for each file, blob/REVISION/model.safetensors, with its sha256 and a size in rounded megabytes.
Copies of these pages alone could be read, not of every set's; whether the Hub serves the same today was not seen.
"""

from resnets.published.row import Digest

SHOWN = {  # name: sha256, on the page of `main` where no other revision is named below
    "resnet14t.c3_in1k": "99c6297226f1c48db193d53893f452e36b442f9e0c7bd253b8f5fe7951a0ef6f",
    "resnet18.a1_in1k": "80c49dee3da4822c009c5a7fe591e9223c5a2cfcf95a4067ca4dfb5a7b89c612",
    "resnet18.a3_in1k": "f049dd3c2e08176be8844dd123467fa5714cff1f141dcfe0ab4975e567f9de21",
    "resnet18.gluon_in1k": "6991fcc0c58379a8496f6273b2f211e492f6af6494041fded649a482772ad2bf",
    "resnet18.tv_in1k": "694f673df6520a3158624e8a89af086f59923ee4cd7436fe5bc3bc71d295ad81",
    "resnet18d.ra2_in1k": "0ad5d924c4269ad863590b6ccdd19f5fb48d0bae695c1dd6751de0b0282d8361",
    "resnet50.a1_in1k": "773525d5821de224f8f30c33377b7a795d7863e08522698200d3217d3f2a41bb",
    "resnet50.a2_in1k": "f531f9aca4dde1b89e9a465c5b9e3b916a2d1b20a216acf3b9473d1e1212ecf6",
    "resnet50.b1k_in1k": "cd64707e0ef72aa0526ac6d46fba6495ad2088717adb47a62a0b526eb3cd3480",
    "resnet50.b2k_in1k": "0c89502f61808f6fac8c7044eb59c072877c171529fc001bc85403982115232c",
    "resnet50.d_in1k": "d8ed291891c8ee5777f68136665a4eee2f9ddeb2a9bc88acf4b1676b3bbebf55",
    "resnet50.ra_in1k": "c49195c94e4fe19545a332e706f998d836f63b5d9892cc54526df3ee9b92ba18",
    "resnet50.tv_in1k": "5d061a3c593d795bfe682d9b152bafbcf550579873492def3515b46db1189888",
    "resnet50d.a1_in1k": "0b4f757b0732eb4c6584d2c3692923c3b92efe116b8a383fd4b5eb62fda660cb",
    "resnet50d.ra4_e3600_r224_in1k": "dcfb320732ed8e1e2fe689f577b4116eae0b20272d3b762a187c5999f62ac5bd",
    "resnet101.a1_in1k": "1ba5b660e7c175b3c27c557fc7dc8b2815be830c516815b0155f61b403f27380",
    "resnet101.a1h_in1k": "1a076c0384295e7d3704f201c5711ff245507db934230bab72ff3014a95f90fe",
    "resnet101.a2_in1k": "d44a7f2e7eaea0bee834ea5e7fd691d239057014628df0bd194c312773b92c83",
    "resnet101.a3_in1k": "846baf57eaff38823a70bf63fe58052d2d6b93bd25d3b89c4d31f6909babba0b",
    "resnet101c.gluon_in1k": "cb45d7d578809d3a4a3755f1bba7ecc30fbaf8cf2ec129a2d62f5f0344b0ce30",
    "resnet101d.ra2_in1k": "c2192596da2e8d652cbf0465b8694704247b524efb68ed194504af453830709c",
    "resnet101s.gluon_in1k": "71b3a168cb34fe67abf5e19d1f80f7f893675d7ef7006b6561f2e536cb07b924",
    "resnet152.a1_in1k": "5a3518da3d35ee04e77a5e69289cff55c3a07a732d7287f6cab20bd4d330eda9",
    "resnet152.tv_in1k": "15897077afdf4d6334dc0c3f8e6fb483afb3faa9298c139f3c6eb29bca6ae5b2",
    "resnet152c.gluon_in1k": "15a98417e3344e6265e2c9446c6551baf72cd3250cfffa376abc84f5f32d90b2",
    "resnext50_32x4d.a1h_in1k": "b952952a7b3e856b16ebf82fb44d2aa8c502e73ec678976c9e3b970fcd530bd5",
    "resnext50_32x4d.a2_in1k": "4b4522bcca81d90e486f8cfb92213597b899d68764ce5fc08db37e3352e02a7d",
    "resnext50_32x4d.a3_in1k": "55480d1612cf33904614f2a3891a0853022cb78c95a3ad734e185ae6575ee545",
    "resnext50_32x4d.tv_in1k": "c0d85cba49c0e9dedbcf6d4e572e2c5ea5eb68e9d64d0564811fd54d4f72939a",
    "resnext101_32x4d.gluon_in1k": "fe0599be8d1841a4eac53668d059e3e11b3ec968047de658153c5df61421b0d7",
    "resnext101_32x8d.tv2_in1k": "580cfe940c344745cc8a629517a5c3300b6aeea9bd88a258f61027da010344af",
    "resnext101_32x8d.tv_in1k": "71c7427e233904ad828b768b9683876dc71f143876cbadaa26428bfea3560fc3",
    "resnext101_64x4d.tv_in1k": "47528f24e5cd6844249c9e4ea11aed6619431b83a0596afe80efdfffdb369900",
    "wide_resnet50_2.tv_in1k": "df6fb6c4824769769de18e14088475fd6ee94236849aa4e5d8022ba9d9a9a16c",
    "wide_resnet101_2.tv2_in1k": "0438046a3b7bb8166e6564dec811985d595f3098c9970181305945e0efa964c3",
}
REVISIONS = {
    "resnet18.a1_in1k": "ebd61f9c7420e5b5b53262b8ce6bbe311e1e872a",
    "resnet50.a1_in1k": "5d9e13b8fdab4d9718bcf2c8f5c3af01878367e8",
    "resnet50.d_in1k": "1b19255347a7d36c93793d53454047e236116f82",
    "resnet50.ra_in1k": "bd3df32877dc17521c1121ab9498cdc4eebdd720",
    "resnet101.a1h_in1k": "21721ac354aff8c4fbc371f3c4e46fa8832d4d68",
    "resnet152c.gluon_in1k": "c3f43d3416c7ee102c6194d2d48c806473f81c39",
    "resnext50_32x4d.a1h_in1k": "8af8dd95e2a7538fad74714fc76507d9de9de33c",
    "resnext50_32x4d.a2_in1k": "1e2fad8de183cfcac6c58dab7f6b519e8d1ffd38",
    "resnext50_32x4d.a3_in1k": "97dff44c340d0f00933a0659edc8ccb444cef692",
    "resnext101_32x8d.tv2_in1k": "027b0f16bf147c3e56df46309d78421a430cfa05",
    "resnext101_64x4d.tv_in1k": "56d0407ee160d0f4436a455f9d3f66f4454010ac",
}


def shown(name: str, page: str, file: str) -> tuple[Digest, ...]:
    """The digest of that file of `page`, a repository of the Hub; none where no such page could be read."""
    if name not in SHOWN:
        return ()
    return (Digest("sha256", SHOWN[name], f"{page}/blob/{REVISIONS.get(name, 'main')}/{file}"),)
